//! Puts what is read from the logs into the stores, several tasks side by side: one thread reads, and putting it into
//! RocksDB takes longer than that.

use crate::error::{Error, Result};
use crate::state::store::TaskStore;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What waits for a thread that is busy with something else.
const WAITING: usize = 1;

/// Takes what is meant for a task's store.
pub(super) type Hand<'f, T> = dyn FnMut(u32, T) -> Result<()> + 'f;

/// Runs `read`, which hands out what it reads; each thread has some of the stores, and does `put` for them in that order.
/// Returns when all of it is done.
pub(super) fn put_beside<T: Send>(
    stores: &mut BTreeMap<u32, TaskStore>,
    threads: usize,
    put: impl Fn(&mut TaskStore, T) -> Result<()> + Sync,
    read: impl FnOnce(&mut Hand<'_, T>) -> Result<()>,
) -> Result<()> {
    let count = threads.clamp(1, stores.len().max(1));
    let mut shares: Vec<BTreeMap<u32, &mut TaskStore>> = (0..count).map(|_| BTreeMap::new()).collect();
    let mut lane_of = BTreeMap::new();
    for (index, (&task, store)) in stores.iter_mut().enumerate() {
        lane_of.insert(task, index % count);
        shares[index % count].insert(task, store);
    }
    let put = &put;
    std::thread::scope(|scope| {
        let mut lanes: Vec<SyncSender<(u32, T)>> = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for share in shares {
            let (lane, handed) = sync_channel(WAITING);
            let builder = std::thread::Builder::new().name("restore".into());
            let spawned = builder.spawn_scoped(scope, move || work(share, &handed, put));
            threads.push(spawned.map_err(|e| Error::fail_job("could not start a thread").caused_by(e))?);
            lanes.push(lane);
        }
        let read = read(&mut |task, what| {
            let sent = lanes[lane_of[&task]].send((task, what));
            sent.map_err(|_| Error::restart_worker("a thread that fills stores has ended"))
        });
        drop(lanes);
        let ended = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::fail_job("a thread that fills stores panicked")))
        });
        // Why one has ended says more than that it has.
        ended.collect::<Result<Vec<()>>>().and(read)
    })
}

fn work<T>(
    mut stores: BTreeMap<u32, &mut TaskStore>,
    handed: &Receiver<(u32, T)>,
    put: &impl Fn(&mut TaskStore, T) -> Result<()>,
) -> Result<()> {
    handed.iter().try_for_each(|(task, what)| {
        let store = stores.get_mut(&task).expect("it is handed to the thread that has the store");
        put(store, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::store::StoreMemory;

    fn stores(folder: &std::path::Path) -> BTreeMap<u32, TaskStore> {
        let memory = StoreMemory::new(8 << 20, 5);
        let open = |task| TaskStore::open(folder, "job", 1, task, &memory).expect("a new store");
        (0..5).map(|task| (task, open(task))).collect()
    }

    #[test]
    fn each_store_gets_what_is_meant_for_it_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut stores = stores(folder.path());
        let seen = std::sync::Mutex::new(BTreeMap::<String, Vec<u32>>::new());
        let put = |store: &mut TaskStore, number: u32| {
            let name = store.scratch("x").file_stem().expect("a name").to_string_lossy().into_owned();
            seen.lock().expect("no test panics with it").entry(name).or_default().push(number);
            Ok(())
        };
        put_beside(&mut stores, 3, put, |hand| (0..500).try_for_each(|number| hand(number % 5, number)))
            .expect("all of it");
        for task in 0..5 {
            let expected: Vec<u32> = (0..500).filter(|number| number % 5 == task).collect();
            assert_eq!(seen.lock().expect("as above")[&format!("task-{task}")], expected);
        }
    }

    #[test]
    fn what_one_store_does_not_take_ends_the_reading_and_is_what_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut stores = stores(folder.path());
        let put = |_: &mut TaskStore, number: u32| match number {
            7 => Err(Error::fail_job("seven does not fit")),
            _ => Ok(()),
        };
        let mut handed = 0;
        let error = put_beside(&mut stores, 2, put, |hand| {
            (0..1_000_000).try_for_each(|number| hand(number % 5, number).inspect(|()| handed = number))
        });
        assert!(error.unwrap_err().to_string().contains("seven does not fit"));
        assert!(handed < 100, "it went on to {handed}");
        let error =
            put_beside(&mut stores, 2, |_, ()| panic!("on purpose"), |hand| (0..9).try_for_each(|_| hand(0, ())));
        assert!(error.unwrap_err().to_string().contains("panicked"));
        let error = put_beside(&mut stores, 2, |_, ()| Ok(()), |_| Err(Error::retry("the log is away")));
        assert!(error.unwrap_err().to_string().contains("the log is away"));
    }
}
