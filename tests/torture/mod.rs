//! `make torture`: a job in several processes on three Kafka brokers, whose workers are killed, stopped,
//! doubled, rescaled and robbed of their volumes, whose brokers are killed and whose commits are held back,
//! in an order that a seed decides, while records come in. What is committed in the end is compared with an
//! oracle: nothing lost, nothing doubled, nothing torn.
//!
//! Every run of the tests has the short form. MILLRACE_TORTURE_SCALE=1 has the whole one, 2 twice as much;
//! MILLRACE_SEED has the same records and faults again.

mod workload;
mod job;
mod oracle;
mod feed;
mod audit;
mod chaos;
mod brokers;
mod launch;
mod workers;

use crate::kafka::harness::{Kafka, PATIENCE, Proxy, Random};
use audit::Audit;
use brokers::Brokers;
use chaos::{Counts, Kind, Plan};
use feed::Feed;
use oracle::Expected;
use std::time::{Duration, Instant};
use workers::Workers;
use workload::Workload;

/// How much, and for how long.
struct Form {
    faults: Counts,
    records: u64,
    /// Records per second while faults happen.
    rate: u64,
    time: Duration,
}

impl Form {
    fn of_environment() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        match std::env::var("MILLRACE_TORTURE_SCALE") {
            Err(_) => Self { faults: chaos::short(), records: 300_000, rate: 2_000, time: minutes(5) },
            Ok(scale) => {
                let scale: u32 = scale.parse().expect("MILLRACE_TORTURE_SCALE is a number");
                let records = 5_000_000 * u64::from(scale);
                Self { faults: chaos::whole(scale), records, rate: 2_800, time: minutes(40) * scale }
            }
        }
    }
}

/// Of the time, what is left for the input's end and the comparison.
const LAST_PART: u32 = 8;
/// One task for each: no number of workers from 1 to 4 but 4 itself leaves one with more than others.
const SOURCE_PARTITIONS: u32 = 6;
const SINK_PARTITIONS: u32 = 4;
const KEYS: u32 = 1_000;

#[test]
fn results_are_exact_whatever_happens_to_processes_and_brokers() {
    if Kafka::apache_address().is_none() {
        return;
    }
    let begun = Instant::now();
    let form = Form::of_environment();
    let mut random = Random::seeded("torture");
    let plan = Plan::new(random.next(), &form.faults);
    let workload = Workload { seed: random.next(), keys: KEYS, partitions: SOURCE_PARTITIONS };

    let brokers = Brokers::start();
    let kafka = Kafka::own(brokers.bootstrap().to_owned());
    job::create_topics(&kafka, SOURCE_PARTITIONS, SINK_PARTITIONS);
    let proxy = Proxy::start(brokers.bootstrap());
    let feed = Feed::start(&kafka, workload, form.rate, form.records);
    let audit = Audit::start(&kafka, workload);
    let mut workers = Workers::start(&kafka, &brokers, &proxy, &feed, &audit);
    let took = chaos::suffer(&plan, &mut workers, begun + form.time - form.time / LAST_PART);
    let took = took.unwrap_or_else(|problem| panic!("torture, after {:?}: {problem}", begun.elapsed()));
    let during = feed.written();

    let records = feed.finish();
    let expected = Expected::new(workload, records);
    let complete = audit.until_complete(&expected, PATIENCE, begun + form.time);
    workers.stop();
    let report = audit.finish(&expected);
    let traffic = proxy.stop();

    println!("torture: {}", chaos::list(&took));
    println!("torture: {during} records came while faults happened, {} rows of output", expected.all_rows());
    println!("torture: {} requests and {} connections through the proxy", traffic.requests, traffic.connections);
    println!("torture: {:.1} s, everything came: {complete}", begun.elapsed().as_secs_f64());
    let ((lost, doubled, torn), kills) = (report.sums(), took.get(&Kind::Kill).copied().unwrap_or(0));
    println!("torture: {records} records, {kills} kills, lost {lost}, doubled {doubled}, torn {torn}");
    assert_eq!((lost, doubled, torn), (0, 0, 0), "{report:?}");
    assert!(begun.elapsed() < form.time, "it took {:?}, and has {:?}", begun.elapsed(), form.time);
}
