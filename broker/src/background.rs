//! What happens without a request: sessions and transactions time out, logs are synced in groups,
//! old records go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::clock::now_ms;
use crate::log::{Partition, Retention};
use crate::node::Node;
use crate::stop::Stopped;
use crate::topics::Topic;

/// How late a session, a rebalance or a transaction may time out.
const TIMEOUT_RESOLUTION: Duration = Duration::from_millis(20);
/// Producers that were silent this long are forgotten, as Kafka's `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

/// Runs a task again and again until it is stopped.
async fn every(period: Duration, node: Arc<Node>, mut stopped: Stopped, task: fn(&Node)) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped.wait() => return,
            _ = ticks.tick() => {}
        }
        let node = Arc::clone(&node);
        // A task fails only with the runtime, which is shutting down then.
        if tokio::task::spawn_blocking(move || task(&node)).await.is_err() {
            return;
        }
    }
}

/// All background work; ends when it is stopped.
pub(crate) async fn run(
    node: Arc<Node>,
    stopped: Stopped,
    flush_interval: Duration,
    retention_check_interval: Duration,
) {
    tokio::join!(
        every(TIMEOUT_RESOLUTION, Arc::clone(&node), stopped.clone(), |node| {
            node.groups.tick(Instant::now());
            node.transactions.abort_expired(Instant::now());
        }),
        every(flush_interval, Arc::clone(&node), stopped.clone(), flush),
        every(retention_check_interval, node, stopped, retain),
    );
}

/// Syncs everything that was appended.
pub(crate) fn flush(node: &Node) {
    for topic in node.topics.all() {
        for (index, partition) in topic.partitions().iter().enumerate() {
            if let Err(error) = partition.flush() {
                tracing::error!(topic = topic.name, partition = index, %error, "cannot sync a log");
            }
        }
    }
    if let Err(error) = node.journal.sync() {
        tracing::error!(%error, "cannot sync the journal");
    }
}

fn retain(node: &Node) {
    let now = now_ms();
    for topic in node.topics.all() {
        for (index, partition) in topic.partitions().iter().enumerate() {
            partition.forget_producers(now - PRODUCER_EXPIRATION_MS);
            retain_partition(&topic, index as i32, partition, now, node);
        }
    }
}

fn retain_partition(topic: &Topic, index: i32, partition: &Partition, now: i64, node: &Node) {
    let configs = topic.configs();
    if !configs.deletes {
        return;
    }
    let retention =
        Retention { bytes: configs.retention_bytes, before: configs.retention_ms.map(|ms| now.saturating_sub(ms)) };
    let cut = partition.expired_before(retention);
    if cut <= partition.offsets().start {
        return;
    }
    match node.topics.delete_records(topic, index, cut) {
        Ok(()) => {
            tracing::info!(topic = topic.name, partition = index, before = cut, "deleted records that retention let go")
        }
        Err(error) => {
            tracing::error!(topic = topic.name, partition = index, %error, "cannot delete old records");
        }
    }
}
