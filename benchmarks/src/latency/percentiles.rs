//! The percentiles of all latencies, exactly: at these rates they fit in memory, and sorting them
//! is simpler than a histogram.

use std::fmt;

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Percentiles {
    pub(crate) records: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Percentiles {
    /// Of latencies in microseconds; nothing of none.
    pub(super) fn of(mut micros: Vec<u64>) -> Option<Self> {
        micros.sort_unstable();
        let last = micros.len().checked_sub(1)?;
        // The nearest rank: the smallest latency that so many records do not exceed.
        let at = |percent: usize| micros[(micros.len() * percent).div_ceil(100).saturating_sub(1)] as f64 / 1e3;
        Some(Self {
            records: micros.len(),
            p50_ms: at(50),
            p90_ms: at(90),
            p99_ms: at(99),
            max_ms: micros[last] as f64 / 1e3,
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.records, self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let percentiles = Percentiles::of((1..=200).rev().map(|ms| ms * 1000).collect()).expect("latencies");
        assert_eq!(percentiles.records, 200);
        assert_eq!(
            (percentiles.p50_ms, percentiles.p90_ms, percentiles.p99_ms, percentiles.max_ms),
            (100.0, 180.0, 198.0, 200.0)
        );
    }

    #[test]
    fn one_latency_is_all_percentiles_and_none_is_none() {
        let one = Percentiles::of(vec![7_000]).expect("a latency");
        assert_eq!((one.p50_ms, one.p99_ms, one.max_ms), (7.0, 7.0, 7.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }
}
