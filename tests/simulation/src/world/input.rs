//! The input of a run: rows in the source partitions, in event time that goes forward with bounded
//! disorder, so that no row is ever late and the right answer does not depend on who reads when.

use super::{Item, MILLISECOND, World};
use crate::job::{DISORDER, Row, SOURCE};
use crate::log::TopicPartition;

const KEYS: u64 = 12;
const BUCKETS: u64 = 5;

impl World {
    /// Adds some rows to some partitions.
    pub(crate) fn input(&mut self) {
        if self.closed {
            return;
        }
        for _ in 0..self.random.between(1, 6) {
            let partition = self.random.below(u64::from(self.settings.sources)) as u32;
            let at = TopicPartition { topic: SOURCE, partition };
            let latest = self.times[partition as usize];
            let ahead = self.random.one_in(2);
            let time = if ahead {
                latest + self.random.below(15) as i64
            } else {
                latest - self.random.below(DISORDER as u64) as i64
            };
            self.times[partition as usize] = latest.max(time);
            let row = Row {
                partition,
                offset: self.log.end_offset(at),
                key: self.random.below(KEYS) as u32,
                bucket: self.random.below(BUCKETS) as u32,
                time,
                value: self.random.below(1000) as i64,
            };
            self.log.append(at, row.encode());
        }
        self.after(15 * MILLISECOND, 60 * MILLISECOND, Item::Input);
    }
}
