//! How many look at one Kafka, or one object store, at once. Who does has clients of its own for a moment, with threads and
//! buffers, and hundreds of jobs would have them at the same time; one that is out of reach must not hold up those who want
//! another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// At one door.
const SEATS: usize = 3;

#[derive(Default)]
pub(crate) struct Doors(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Doors {
    /// Waits until there is a seat, which is taken until what is returned is dropped.
    pub(crate) async fn enter(&self, place: &str) -> Option<OwnedSemaphorePermit> {
        let seats = {
            let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            doors.retain(|_, seats| seats.available_permits() < SEATS);
            doors.entry(place.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(SEATS))).clone()
        };
        // None is ever closed.
        seats.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_place_that_is_full_holds_up_only_those_who_want_it() {
        let doors = Doors::default();
        let mut inside: Vec<_> = (0..SEATS).map(|_| doors.enter("slow:9092").now_or_never().expect("a seat")).collect();
        assert!(doors.enter("slow:9092").now_or_never().is_none());
        assert!(doors.enter("other:9092").now_or_never().is_some());
        inside.pop();
        assert!(doors.enter("slow:9092").now_or_never().is_some());
    }
}
