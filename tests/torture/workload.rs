//! The input: two streams, payments and logins, of which each record follows from the seed and its number
//! alone. So nobody has to remember what was written: the oracle computes it again.
//!
//! Event time goes forward by a millisecond per record and out of order by less than the watermark's delay,
//! seen over both streams and all partitions together. A partition has its records in the order of their
//! numbers, so none is ever behind the watermark of its own partition, however far the partitions drift
//! apart; with no partition idle the job's watermark is the least of them, and nothing is late. At the end a
//! sentinel in every partition closes all windows.

use crate::kafka::harness::Random;

/// When the first record happens: 2025-06-01 00:00:00 UTC, the start of a window of any size.
pub(super) const BASE: i64 = 1_748_736_000_000;
/// What watermarks stay behind.
pub(super) const DELAY_MILLIS: i64 = 2_000;
/// The key of the records that only push time forward.
pub(super) const SENTINEL: &str = "sentinel";
/// One record in so many is a login.
const LOGINS_ONE_IN: u64 = 20;
/// How far ahead of everything the sentinels are.
const SENTINEL_MILLIS: i64 = 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Payments,
    Logins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) stream: Stream,
    /// Its number among the records of both streams.
    pub(super) id: u64,
    pub(super) key: u32,
    pub(super) value: i64,
    /// Epoch milliseconds.
    pub(super) at: i64,
    pub(super) partition: i32,
}

impl Input {
    pub(super) fn json(&self) -> String {
        let Self { id, key, value, at, .. } = self;
        format!(r#"{{"id":{id},"k":"{}","v":{value},"ms":{at}}}"#, key_text(*key))
    }
}

pub(super) fn key_text(key: u32) -> String {
    format!("k{key}")
}

/// The number of a key; None where it is none of the input's.
pub(super) fn key_number(text: &str) -> Option<u32> {
    text.strip_prefix('k')?.parse().ok()
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) seed: u64,
    pub(super) keys: u32,
    /// Of each of the two topics.
    pub(super) partitions: u32,
}

impl Workload {
    /// The record with this number.
    pub(super) fn record(&self, id: u64) -> Input {
        let mut random = Random::new(self.seed ^ (id + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let stream = if random.below(0..LOGINS_ONE_IN) == 0 { Stream::Logins } else { Stream::Payments };
        let key = match stream {
            // Few keys pay often, and anybody logs in: otherwise a join of the two would grow with the square
            // of the skew.
            Stream::Payments => self.skewed_key(&mut random),
            Stream::Logins => random.below(0..self.keys.into()) as u32,
        };
        let early = random.below(0..DELAY_MILLIS as u64) as i64;
        Input {
            stream,
            id,
            key,
            value: random.below(0..1000) as i64 - 500,
            at: BASE + DELAY_MILLIS + id as i64 - early,
            partition: random.below(0..self.partitions.into()) as i32,
        }
    }

    /// What closes all windows after `count` records, for every partition alike.
    pub(super) fn sentinel(&self, count: u64) -> String {
        format!(r#"{{"id":-1,"k":"{SENTINEL}","v":0,"ms":{}}}"#, BASE + DELAY_MILLIS + count as i64 + SENTINEL_MILLIS)
    }

    /// The first tenth of the keys gets about half of the records.
    fn skewed_key(&self, random: &mut Random) -> u32 {
        let unit = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * unit * unit * f64::from(self.keys)) as u32).min(self.keys - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const WORKLOAD: Workload = Workload { seed: 3, keys: 100, partitions: 4 };

    #[test]
    fn a_record_is_the_same_whenever_it_is_made() {
        let (first, again) = (WORKLOAD.record(17), WORKLOAD.record(17));
        assert_eq!(first, again);
        assert_ne!(Workload { seed: 4, ..WORKLOAD }.record(17), first);
    }

    #[test]
    fn no_record_is_behind_the_watermark_of_its_partition() {
        let mut watermarks: BTreeMap<(Stream, i32), i64> = BTreeMap::new();
        let (mut out_of_order, mut latest) = (0, i64::MIN);
        for input in (0..50_000).map(|id| WORKLOAD.record(id)) {
            let watermark = watermarks.entry((input.stream, input.partition)).or_insert(i64::MIN);
            assert!(input.at > *watermark, "{input:?} is late: the watermark is {watermark}");
            *watermark = (input.at - DELAY_MILLIS).max(*watermark);
            out_of_order += u64::from(input.at < latest);
            latest = latest.max(input.at);
        }
        assert_eq!(watermarks.len(), 8, "every partition of both topics has records");
        assert!(out_of_order > 10_000, "only {out_of_order} are out of order");
    }

    #[test]
    fn payments_are_skewed_and_logins_are_few() {
        let inputs: Vec<Input> = (0..20_000).map(|id| WORKLOAD.record(id)).collect();
        let payments = inputs.iter().filter(|input| input.stream == Stream::Payments);
        let frequent = payments.clone().filter(|input| input.key < 10).count();
        let payments = payments.count();
        assert!((18_500..19_500).contains(&payments), "{payments} payments");
        assert!(frequent > payments * 4 / 10, "{frequent} of {payments} payments have one of the first keys");
    }
}
