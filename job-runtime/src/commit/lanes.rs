//! Applies what the logs add up to, several tasks side by side: what is replayed is read by one thread, and putting it into
//! RocksDB takes longer than that.

use super::start::Apply;
use crate::error::{Error, Result};
use crate::state::store::TaskStore;
use millrace_protocol::replay::Portion;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Portions that wait for a thread that is busy with another.
const WAITING: usize = 1;

/// Runs `replay` with an `apply` that hands each portion to the thread of its task, and returns when all are applied.
pub(super) fn apply_beside(
    stores: &mut BTreeMap<u32, TaskStore>,
    threads: usize,
    replay: impl FnOnce(&mut Apply<'_>) -> Result<()>,
) -> Result<()> {
    let count = threads.clamp(1, stores.len().max(1));
    let mut shares: Vec<BTreeMap<u32, &mut TaskStore>> = (0..count).map(|_| BTreeMap::new()).collect();
    let mut lane_of = BTreeMap::new();
    for (index, (&task, store)) in stores.iter_mut().enumerate() {
        lane_of.insert(task, index % count);
        shares[index % count].insert(task, store);
    }
    std::thread::scope(|scope| {
        let mut lanes: Vec<SyncSender<(u32, Portion)>> = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for share in shares {
            let (lane, portions) = sync_channel(WAITING);
            let spawned =
                std::thread::Builder::new().name("replay".into()).spawn_scoped(scope, move || apply(share, &portions));
            threads.push(spawned.map_err(|e| Error::fail_job("could not start a thread").caused_by(e))?);
            lanes.push(lane);
        }
        let replayed = replay(&mut |task, portion| {
            let sent = lanes[lane_of[&task]].send((task, portion));
            sent.map_err(|_| Error::restart_worker("a thread that applies replayed changes has ended"))
        });
        drop(lanes);
        let ended = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::fail_job("a thread that applies replayed changes panicked")))
        });
        // Why one has ended says more than that it has.
        ended.collect::<Result<Vec<()>>>().and(replayed)
    })
}

fn apply(mut stores: BTreeMap<u32, &mut TaskStore>, portions: &Receiver<(u32, Portion)>) -> Result<()> {
    for (task, portion) in portions {
        let store = stores.get_mut(&task).expect("a portion goes to its task's thread");
        store.apply(portion.changes.iter().map(Vec::as_slice), portion.applied)?;
    }
    Ok(())
}
