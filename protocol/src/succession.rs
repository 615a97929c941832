//! The end of an earlier incarnation's log: a claim under the last of all generations, which fences whoever had the task,
//! and a release by whoever made it, once it is sure that this does no harm. Nobody commits in the log after that. One
//! incarnation is ended only after all before it.

use crate::record::LogRecord;
use crate::start::LAST_GENERATION;

/// What the committed records of a log, or its last ones, say of its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    claimed: bool,
    reached: bool,
}

impl LogEnd {
    /// The next record.
    pub fn read(&mut self, record: &LogRecord<'_>) {
        match record {
            LogRecord::Claim(claim) if claim.generation == LAST_GENERATION => self.claimed = true,
            LogRecord::Release(_) => self.reached |= self.claimed,
            _ => {}
        }
    }

    pub fn is_reached(&self) -> bool {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Claim, Release};

    fn claim(generation: u32) -> LogRecord<'static> {
        LogRecord::Claim(Claim {
            generation,
            ordinal: 0,
            holder: "holder".into(),
            attempt: "attempt".into(),
            transactional_id: "id".into(),
            highest_generation: generation,
        })
    }

    #[test]
    fn a_log_has_ended_when_its_last_claim_is_released_and_others_change_nothing() {
        let release = || LogRecord::Release(Release { attempt: "attempt".into() });
        let mut end = LogEnd::default();
        for (record, reached) in [
            (claim(1), false),
            (release(), false),
            (claim(LAST_GENERATION), false),
            (release(), true),
            (claim(LAST_GENERATION), true),
        ] {
            end.read(&record);
            assert_eq!(end.is_reached(), reached, "{record:?}");
        }
    }
}
