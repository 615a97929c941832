//! The join said once more, pair by pair: what the operator has to agree with.

use super::{Line, Row};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Oracle {
    pub(super) watermark: Option<i64>,
    open: BTreeMap<i64, [Vec<Row>; 2]>,
    pub(super) emitted: Vec<Line>,
    pub(super) late: usize,
}

impl Oracle {
    pub(super) fn add(&mut self, side: usize, row: &Row) {
        if self.watermark.is_some_and(|watermark| row.window_end - 1 <= watermark) {
            self.late += 1;
        } else {
            self.open.entry(row.window_end).or_default()[side].push(row.clone());
        }
    }

    pub(super) fn advance(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(Some(watermark));
        while let Some(window) = self.open.first_entry()
            && Some(window.key() - 1) <= self.watermark
        {
            let (window_end, [left, right]) = window.remove_entry();
            for l in &left {
                for r in right.iter().filter(|r| l.key.is_some() && r.key == l.key) {
                    // The condition, which is not TRUE where one of them is NULL.
                    if let (Some(n), Some(m)) = (l.number, r.number)
                        && n <= m
                    {
                        self.emitted.push((window_end, l.key.clone(), n, m));
                    }
                }
            }
        }
    }
}
