//! The record of an event: one JSON object with the event's type and, of `person`, `auction` and
//! `bid`, the one that it is; the others are null.

use super::event::EventWriter;
use super::model::{Config, Kind};
use super::random::Random;
use super::timestamp::TimestampWriter;

/// Writes events as records. Fastest in the order of their numbers, correct in any.
pub(crate) struct JsonWriter {
    config: Config,
    timestamps: TimestampWriter,
    record: Vec<u8>,
}

impl JsonWriter {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, timestamps: TimestampWriter::default(), record: Vec::with_capacity(1024) }
    }

    /// The record of event `number`, valid until the next call.
    pub(crate) fn record(&mut self, number: u64) -> &[u8] {
        let kind = self.config.kind(number);
        self.record.clear();
        self.record.extend_from_slice(match kind {
            Kind::Person => b"{\"event_type\":0,\"person\":".as_slice(),
            Kind::Auction => b"{\"event_type\":1,\"person\":null,\"auction\":",
            Kind::Bid => b"{\"event_type\":2,\"person\":null,\"auction\":null,\"bid\":",
        });
        let writer = EventWriter {
            config: &self.config,
            timestamps: &mut self.timestamps,
            random: Random::for_event(self.config.seed, number),
            number,
            to: &mut self.record,
        };
        match kind {
            Kind::Person => writer.person(),
            Kind::Auction => writer.auction(),
            Kind::Bid => writer.bid(),
        }
        self.record.extend_from_slice(match kind {
            Kind::Person => b",\"auction\":null,\"bid\":null}".as_slice(),
            Kind::Auction => b",\"bid\":null}",
            Kind::Bid => b"}",
        });
        &self.record
    }
}
