//! What Flink is known to need on a quiet machine: the guard against winning over a Flink that was
//! disturbed, or wrongly set up, in the very run that is compared with.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Reference {
    tolerance: f64,
    cpu_seconds_per_million_events: BTreeMap<String, Figure>,
}

#[derive(Deserialize)]
struct Figure {
    value: f64,
}

/// How a figure of Flink's compares with the one that is stored.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Near,
    NotStored,
    Off { stored: f64, by: f64 },
}

impl Reference {
    pub(crate) fn load() -> Result<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/flink-reference.json");
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        serde_json::from_str(&text).with_context(|| format!("reading {path}"))
    }

    pub(crate) fn verdict(&self, query: &str, cpu_seconds_per_million_events: f64) -> Verdict {
        let Some(Figure { value: stored }) = self.cpu_seconds_per_million_events.get(query) else {
            return Verdict::NotStored;
        };
        let by = cpu_seconds_per_million_events / stored - 1.0;
        if by.abs() <= self.tolerance { Verdict::Near } else { Verdict::Off { stored: *stored, by } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_more_than_the_tolerance_off_is_off() {
        let reference = Reference::load().expect("the stored figures");
        assert_eq!(reference.verdict("q0", 3.7), Verdict::Near);
        assert_eq!(reference.verdict("q0", 4.6), Verdict::Near);
        assert!(matches!(reference.verdict("q0", 4.7), Verdict::Off { .. }));
        assert!(matches!(reference.verdict("q0", 2.7), Verdict::Off { .. }));
        assert_eq!(reference.verdict("no such query", 1.0), Verdict::NotStored);
    }
}
