//! A seeded generator of Nexmark's events: an online auction's people, auctions and bids, with the
//! proportions, sizes and skew of the published model, as JSON in the shape that Flink's port of
//! Nexmark reads. Event `n` is a pure function of the configuration and `n`, so that a topic can be
//! checked, or made again anywhere, without keeping it.
//!
//! Not a load generator: it has no clock and no rate; event time advances by configuration.

mod random;

mod model;

mod event;

mod timestamp;

mod json;

pub(crate) use json::JsonWriter;
pub(crate) use model::Config;

#[cfg(test)]
mod tests;
