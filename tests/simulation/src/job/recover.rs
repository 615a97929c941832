//! Performs what the protocol says of recovering, with the model log and the model disk, as the runtime's
//! `commit/recover.rs` does with Kafka and RocksDB.

use super::Topics;
use super::rows::decode_changes;
use super::worker::{Failure, Place};
use crate::disk::{Identity, Store};
use crate::log::{Isolation, Micros};
use crate::world::{Ctx, MILLISECOND, Step};
use millrace_protocol::record::LogRecord;
use millrace_protocol::recover::{Base, CompleteImage, Cover, CoverSearch, LogRange, base};
use std::collections::BTreeMap;

/// Records asked for at once, to find an image and to load it.
const SEARCH_RECORDS: usize = 64;
const LOAD_RECORDS: usize = 6;
/// What a sync of the disk takes.
const SYNC: Micros = 3 * MILLISECOND;

/// Afterwards each task has a store that its log goes on from. Returns what there is of the logs.
pub async fn recover(ctx: &Ctx, place: &Place) -> Result<BTreeMap<u32, LogRange>, Failure> {
    ctx.enter(Some(Step::Recover));
    ctx.volume(|volume| volume.stop_filling());
    let mut logs = BTreeMap::new();
    for task in place.assignment.tasks() {
        let identity = Identity { job: 1, incarnation: place.job, task };
        open_store(ctx, &identity);
        let at = place.topics.task_log(task);
        let start = ctx.call(|log, _| Ok(log.start_offset(at))).await?;
        let end = ctx.call(|log, _| Ok(log.end_offset(at))).await?;
        let log = LogRange { start, end };
        let applied = ctx.volume(|volume| volume.store(task).and_then(|store| store.applied().cloned()));
        if base(task, applied.as_ref(), log)? == Base::Cover {
            let image = find_image(ctx, place.topics, task, log).await?;
            ctx.enter(Some(Step::Load));
            load(ctx, place.topics, &identity, &image).await?;
            ctx.event("loaded", &[i64::from(task), image.applied.log_offset]);
            ctx.enter(Some(Step::Recover));
        }
        logs.insert(task, log);
    }
    Ok(logs)
}

/// A store that is somebody else's, or damaged, is put away: an empty one takes its place.
fn open_store(ctx: &Ctx, identity: &Identity) {
    ctx.volume(|volume| {
        let usable = |store: &mut Store| store.identity == *identity && !store.is_damaged();
        if !volume.store(identity.task).is_some_and(usable) {
            volume.put_store(identity.task, Store::new(identity.clone()));
        }
    });
}

pub async fn find_image(ctx: &Ctx, topics: Topics, task: u32, log: LogRange) -> Result<CompleteImage, Failure> {
    let at = topics.task_log(task);
    let mut search = CoverSearch::new(task, log);
    let mut next = log.start;
    loop {
        let fetch = ctx.call(|model, _| model.fetch(at, next, Isolation::ReadCommitted, SEARCH_RECORDS));
        let fetched = fetch.await?;
        for record in &fetched.records {
            search.read(record.offset, &LogRecord::decode(&record.value)?);
        }
        if fetched.next == next {
            break;
        }
        next = fetched.next;
    }
    match search.finish(next)?.as_deref() {
        Some([Cover::Image(image), ..]) => Ok(image.clone()),
        Some(_) => Err(Failure::Restart("there is no object store")),
        None => Err(Failure::Restart("a transaction hides the end of the log")),
    }
}

/// Fills a new store beside the old one, which it replaces when it is durable.
async fn load(ctx: &Ctx, topics: Topics, identity: &Identity, image: &CompleteImage) -> Result<(), Failure> {
    let (task, at) = (identity.task, topics.task_log(identity.task));
    ctx.volume(|volume| volume.fill(task, Store::new(identity.clone())));
    let mut next = image.first;
    while next <= image.last {
        let fetch = ctx.call(|model, _| model.fetch(at, next, Isolation::ReadCommitted, LOAD_RECORDS));
        let fetched = fetch.await?;
        if fetched.next == next {
            return Err(Failure::Restart("an image that was in the log is gone"));
        }
        for record in fetched.records.iter().filter(|record| record.offset <= image.last) {
            let LogRecord::Image(part) = LogRecord::decode(&record.value)? else { continue };
            if image.has(&part) {
                let changes = decode_changes(part.entries);
                ctx.volume(|volume| volume.filling(task).expect("begun above").write(changes, part.last));
            }
        }
        next = fetched.next;
    }
    ctx.sleep(SYNC).await;
    ctx.volume(|volume| {
        volume.filling(task).expect("begun above").sync();
        volume.filled(task);
    });
    Ok(())
}
