//! Faults that a test injects: requests held, delayed, lost, refused, answers lost, connections closed.
//!
//! A fault is set for an API key and hits the next requests of that kind, on any connection. Faults
//! act before a request is performed, but for a lost answer, which is lost after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use tokio::sync::watch;

/// How many requests a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The next so many, and no more.
    Next(usize),
    /// All, until [`Faults::clear`].
    Always,
}

#[derive(Debug, Clone)]
enum Action {
    Hold(watch::Receiver<bool>),
    Delay(Duration),
    DropRequest,
    DropResponse,
    CloseConnection,
}

/// What becomes of one request, when whatever held it has let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Perform,
    /// Neither performed nor answered; the connection stays.
    Ignore,
    /// Performed and not answered; the connection stays.
    PerformSilently,
    CloseConnection,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Vec<(ApiKey, Action, Times)>,
    seen: HashMap<ApiKey, u64>,
    held: HashMap<ApiKey, u64>,
    refused: HashMap<ApiKey, ResponseError>,
}

/// The faults of one broker; see [`crate::Broker::faults`].
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Counts up when something happens to a request that a test may wait for.
    progress: watch::Sender<u64>,
    /// Counts up to close every connection that was open before.
    closes: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { plan: Arc::default(), progress: watch::Sender::new(0), closes: watch::Sender::new(0) }
    }
}

/// Holds requests until it is released or dropped.
#[derive(Debug)]
#[must_use = "dropping it lets the requests go on at once"]
pub struct Hold {
    api: ApiKey,
    release: watch::Sender<bool>,
    faults: Faults,
}

impl Hold {
    /// Waits until `count` requests of this kind have been held, since the broker's start.
    pub async fn reached(&self, count: u64) {
        let api = self.api;
        self.faults.wait_until(|plan| plan.held.get(&api).is_some_and(|held| *held >= count)).await;
    }

    /// Lets the held requests go on, and all that follow.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release.send_replace(true);
        let mine = self.release.subscribe();
        self.faults
            .lock()
            .faults
            .retain(|(_, action, _)| !matches!(action, Action::Hold(released) if released.same_channel(&mine)));
    }
}

impl Faults {
    /// Holds requests before they are performed, until the answer is released or dropped. A held
    /// request is performed then even if its client has gone: it was on its way.
    pub fn hold(&self, api: ApiKey, times: Times) -> Hold {
        let (release, released) = watch::channel(false);
        self.add(api, Action::Hold(released), times);
        Hold { api, release, faults: self.clone() }
    }

    /// Performs requests only after `delay`.
    pub fn delay(&self, api: ApiKey, delay: Duration, times: Times) {
        self.add(api, Action::Delay(delay), times);
    }

    /// Loses requests: they are neither performed nor answered.
    pub fn drop_requests(&self, api: ApiKey, times: Times) {
        self.add(api, Action::DropRequest, times);
    }

    /// Performs requests and loses the answers.
    pub fn drop_responses(&self, api: ApiKey, times: Times) {
        self.add(api, Action::DropResponse, times);
    }

    /// Closes the connection on which a request arrives; the request is not performed.
    pub fn close_on(&self, api: ApiKey, times: Times) {
        self.add(api, Action::CloseConnection, times);
    }

    /// Answers requests with an error until [`Faults::clear`]: `Produce` and `DeleteRecords` for every partition,
    /// `IncrementalAlterConfigs` for every resource; others are not refused. With `NotEnoughReplicas` nothing is written, and
    /// metadata shows no replica in sync; with `NotEnoughReplicasAfterAppend` the same, but what is refused has been written.
    pub fn refuse(&self, api: ApiKey, error: ResponseError) {
        self.lock().refused.insert(api, error);
    }

    pub(crate) fn refusal(&self, api: ApiKey) -> Option<ResponseError> {
        self.lock().refused.get(&api).copied()
    }

    /// Whether so many replicas are in sync that records may be written.
    pub(crate) fn is_in_sync(&self) -> bool {
        use ResponseError::{NotEnoughReplicas, NotEnoughReplicasAfterAppend};
        !matches!(self.refusal(ApiKey::Produce), Some(NotEnoughReplicas | NotEnoughReplicasAfterAppend))
    }

    /// Closes all connections that are open now. A request that is held on one of them is performed all the
    /// same when it is released, like one whose client has gone.
    pub fn close_connections(&self) {
        self.closes.send_modify(|count| *count += 1);
    }

    /// Forgets all faults. Requests that are held stay held by their [`Hold`].
    pub fn clear(&self) {
        let mut plan = self.lock();
        plan.faults.clear();
        plan.refused.clear();
    }

    /// How many requests of this kind have arrived since the broker's start.
    pub fn seen(&self, api: ApiKey) -> u64 {
        self.lock().seen.get(&api).copied().unwrap_or(0)
    }

    /// Waits until `count` requests of this kind have arrived since the broker's start.
    pub async fn reached(&self, api: ApiKey, count: u64) {
        self.wait_until(|plan| plan.seen.get(&api).is_some_and(|seen| *seen >= count)).await;
    }

    /// Changes each time that [`Faults::close_connections`] is called.
    pub(crate) fn closes(&self) -> watch::Receiver<u64> {
        self.closes.subscribe()
    }

    /// What becomes of a request; returns when nothing holds it any more.
    pub(crate) async fn meet(&self, api: ApiKey) -> Fate {
        let action = self.next_action(api);
        self.progress.send_modify(|count| *count += 1);
        match action {
            None => Fate::Perform,
            Some(Action::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Fate::Perform
            }
            Some(Action::Hold(mut released)) => {
                // An error says that the hold was dropped, which releases too.
                let _ = released.wait_for(|released| *released).await;
                Fate::Perform
            }
            Some(Action::DropRequest) => Fate::Ignore,
            Some(Action::DropResponse) => Fate::PerformSilently,
            Some(Action::CloseConnection) => Fate::CloseConnection,
        }
    }

    fn next_action(&self, api: ApiKey) -> Option<Action> {
        let mut plan = self.lock();
        *plan.seen.entry(api).or_default() += 1;
        let at = plan.faults.iter().position(|(key, _, _)| *key == api)?;
        let (_, action, times) = &mut plan.faults[at];
        let action = action.clone();
        if let Times::Next(left) = times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                plan.faults.remove(at);
            }
        }
        if matches!(action, Action::Hold(_)) {
            *plan.held.entry(api).or_default() += 1;
        }
        Some(action)
    }

    async fn wait_until(&self, reached: impl Fn(&Plan) -> bool) {
        let mut progress = self.progress.subscribe();
        while !reached(&self.lock()) {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    fn add(&self, api: ApiKey, action: Action, times: Times) {
        if times != Times::Next(0) {
            self.lock().faults.push((api, action, times));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no code panics while it holds the faults")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_for_the_next_two_requests_hits_two_of_its_kind() {
        let faults = Faults::default();
        faults.drop_requests(ApiKey::EndTxn, Times::Next(2));
        assert_eq!(faults.meet(ApiKey::Produce).await, Fate::Perform);
        assert_eq!(faults.meet(ApiKey::EndTxn).await, Fate::Ignore);
        assert_eq!(faults.meet(ApiKey::EndTxn).await, Fate::Ignore);
        assert_eq!(faults.meet(ApiKey::EndTxn).await, Fate::Perform);
        assert_eq!(faults.seen(ApiKey::EndTxn), 3);
    }

    #[tokio::test]
    async fn a_held_request_goes_on_when_it_is_released() {
        let faults = Faults::default();
        let hold = faults.hold(ApiKey::EndTxn, Times::Always);
        let request = tokio::spawn({
            let faults = faults.clone();
            async move { faults.meet(ApiKey::EndTxn).await }
        });
        hold.reached(1).await;
        assert!(!request.is_finished());
        hold.release();
        assert_eq!(request.await.expect("it ends"), Fate::Perform);
    }
}
