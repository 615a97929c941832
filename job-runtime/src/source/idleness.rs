//! When a partition is idle, so that it holds back no watermark: it was read to its end, has been silent for the table's
//! timeout, and its broker then says that there is nothing more.
//!
//! Only time counts in which somebody looked. A worker that stood still, was stopped, or had no room for more knows
//! nothing of what came meanwhile, and neither does one whose broker does not answer: their partitions are not idle, or
//! the watermark would pass what they are about to read.

use super::PartitionId;
use crate::error::{ErrorContext, ErrorKind, Result};
use crate::kafka::PartitionConsumer;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A longer time between two looks is one in which nobody looked.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

/// Of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Silence {
    /// There may be more to read.
    #[default]
    None,
    /// It was read to its end, and since then nothing came.
    Since(Duration),
    /// The broker is asked whether that is so.
    Asked,
    Confirmed,
}

impl Silence {
    /// It was read to its end.
    pub(super) fn begin(&mut self, now: Duration) {
        if *self == Self::None {
            *self = Self::Since(now);
        }
    }

    /// Nobody has looked for a while.
    pub(super) fn not_observed(&mut self, now: Duration) {
        if *self != Self::None {
            *self = Self::Since(now);
        }
    }

    /// Whether the broker is to be asked; said once.
    pub(super) fn is_due(&mut self, now: Duration, timeout: Duration) -> bool {
        let due = matches!(self, Self::Since(since) if now >= *since + timeout);
        if due {
            *self = Self::Asked;
        }
        due
    }

    pub(super) fn answered(&mut self, nothing_more: bool, now: Duration) {
        if *self == Self::Asked {
            *self = if nothing_more { Self::Confirmed } else { Self::Since(now) };
        }
    }
}

/// When a source last looked, and went through its partitions.
#[derive(Default)]
pub(super) struct Looks {
    last: Option<Duration>,
    round: Option<Duration>,
}

impl Looks {
    /// Looks now; whether nobody did for a while.
    pub(super) fn look(&mut self, now: Duration) -> bool {
        let last = self.last.replace(now);
        last.is_some_and(|last| now > last + BETWEEN_LOOKS)
    }

    /// Whether it is time to go through all partitions, which a source that looks all the time need not do each time.
    pub(super) fn is_round(&mut self, now: Duration) -> bool {
        let due = self.round.is_none_or(|round| now >= round + BETWEEN_ROUNDS);
        if due {
            self.round = Some(now);
        }
        due
    }
}

/// Whether a partition ends where it was read to.
struct Question {
    consumer: Arc<PartitionConsumer>,
    partition: PartitionId,
    next: i64,
    answers: Sender<Answer>,
}

pub(super) struct Answer {
    pub(super) partition: PartitionId,
    /// As it was asked for.
    pub(super) next: i64,
    pub(super) nothing_more: bool,
}

/// Asks brokers, on a thread of its own, which ends when nobody can ask any more.
#[derive(Clone)]
pub struct Inquiry(Sender<Question>);

impl Inquiry {
    pub fn start() -> Result<Self> {
        let (questions, asked) = channel::<Question>();
        std::thread::Builder::new()
            .name("idleness".into())
            .spawn(move || asked.into_iter().for_each(Question::ask))
            .or_kind(ErrorKind::FailJob, "could not start the thread that looks for idle partitions")?;
        Ok(Self(questions))
    }
}

impl Question {
    fn ask(self) {
        let Self { consumer, partition, next, answers } = self;
        let end = consumer.watermarks(&partition.topic, partition.partition).map(|(_, end)| end);
        let nothing_more = end.is_ok_and(|end| end <= next);
        // Who asked may have ended.
        let _ = answers.send(Answer { partition, next, nothing_more });
    }
}

/// What one source asks, and hears.
pub(super) struct Asker {
    inquiry: Inquiry,
    sender: Sender<Answer>,
    pub(super) answers: Receiver<Answer>,
}

impl Asker {
    pub(super) fn new(inquiry: Inquiry) -> Self {
        let (sender, answers) = channel();
        Self { inquiry, sender, answers }
    }

    pub(super) fn ask(&self, consumer: &Arc<PartitionConsumer>, partition: &PartitionId, next: i64) {
        let (consumer, partition, answers) = (consumer.clone(), partition.clone(), self.sender.clone());
        // The thread ends after all who ask.
        let _ = self.inquiry.0.send(Question { consumer, partition, next, answers });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_confirmed_by_the_broker_and_broken_by_a_record() {
        let mut silence = Silence::default();
        assert!(!silence.is_due(seconds(100), TIMEOUT), "nobody knows where it ends");
        silence.begin(seconds(100));
        silence.begin(seconds(105));
        assert!(!silence.is_due(seconds(109), TIMEOUT));
        assert!(silence.is_due(seconds(110), TIMEOUT));
        assert!(!silence.is_due(seconds(111), TIMEOUT), "it is asked once");
        assert_ne!(silence, Silence::Confirmed);
        silence.answered(true, seconds(112));
        assert_eq!(silence, Silence::Confirmed);
        silence = Silence::None;
        silence.answered(true, seconds(113));
        assert_eq!(silence, Silence::None, "the answer is of before the record");
    }

    #[test]
    fn a_partition_that_has_more_or_whose_broker_is_gone_is_not_idle() {
        let mut silence = Silence::Since(seconds(100));
        assert!(silence.is_due(seconds(110), TIMEOUT));
        silence.answered(false, seconds(120));
        assert_eq!(silence, Silence::Since(seconds(120)));
        assert!(!silence.is_due(seconds(129), TIMEOUT));
        assert!(silence.is_due(seconds(130), TIMEOUT));
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut looks = Looks::default();
        assert!(!looks.look(seconds(100)));
        assert!(!looks.look(seconds(100) + BETWEEN_LOOKS));
        assert!(looks.look(seconds(130)));
        assert!(!looks.look(seconds(130)));
        for mut silence in [Silence::Since(seconds(95)), Silence::Asked, Silence::Confirmed] {
            silence.not_observed(seconds(130));
            assert_eq!(silence, Silence::Since(seconds(130)));
        }
    }
}
