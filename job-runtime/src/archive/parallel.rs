//! Several transfers at once: a few threads that take the next one when they are done with one.

use crate::error::Result;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Calls `work` for each item, on at most so many threads. After an error no more are begun; the first is returned.
pub(super) fn for_each<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            work(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(take)).collect();
        let mine = take();
        let theirs = helpers.into_iter().map(|helper| match helper.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        theirs.fold(mine, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::Mutex;

    #[test]
    fn every_item_is_worked_on_once() {
        let seen = Mutex::new(Vec::new());
        for_each(&Vec::from_iter(0..100), 4, |&item| {
            seen.lock().unwrap().push(item);
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, Vec::from_iter(0..100));
        for_each(&[0; 0], 4, |_| panic!("there is none")).unwrap();
    }

    #[test]
    fn an_error_ends_it() {
        let (fails, done) =
            (|&item: &u32| if item == 3 { Err(Error::retry("three")) } else { Ok(()) }, AtomicUsize::new(0));
        let error = for_each(&Vec::from_iter(0..1000), 1, |item| {
            done.fetch_add(1, Ordering::Relaxed);
            fails(item)
        });
        assert_eq!((error.unwrap_err().to_string(), done.into_inner()), ("three".to_owned(), 4));
    }
}
