//! Nexmark's model in numbers: which event is of which kind, when it happens, and which people and
//! auctions exist and are popular at that point. Not the events' contents: see `event`.

use super::random::Random;

/// Of every 50 events one is a person, the next three are auctions, and the rest bids.
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const CYCLE: u64 = 50;

const FIRST_PERSON: u64 = 1000;
const FIRST_AUCTION: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// Ids that will only be used a little later are drawn too, so that not every reference resolves
/// at once.
const ID_LEAD: u64 = 10;

/// One in this many people and auctions is hot at any time.
const HOT_STRIDE: u64 = 100;

/// What the published model leaves to choose, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    /// Event time of the first event, in milliseconds since the epoch.
    pub(crate) first_event_time_ms: u64,
    /// How fast event time advances; has nothing to do with how fast events are generated.
    pub(crate) events_per_second: u64,
    /// All but one in this many bids go to the hot auction, and likewise for the other two.
    pub(crate) hot_auction_ratio: u64,
    pub(crate) hot_bidder_ratio: u64,
    pub(crate) hot_seller_ratio: u64,
    pub(crate) in_flight_auctions: u64,
    pub(crate) active_people: u64,
    /// Sizes that the padding field `extra` fills events up to, on average and before JSON.
    pub(crate) person_bytes: u64,
    pub(crate) auction_bytes: u64,
    pub(crate) bid_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            // 2025-01-01 00:00:00 UTC. Fixed, not now, so that a topic is the same on every day.
            first_event_time_ms: 1_735_689_600_000,
            events_per_second: 10_000,
            hot_auction_ratio: 2,
            hot_bidder_ratio: 4,
            hot_seller_ratio: 4,
            in_flight_auctions: 100,
            active_people: 1000,
            person_bytes: 200,
            auction_bytes: 500,
            bid_bytes: 100,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Person,
    Auction,
    Bid,
}

impl Config {
    pub(crate) fn kind(&self, number: u64) -> Kind {
        match number % CYCLE {
            within if within < PERSONS => Kind::Person,
            within if within < PERSONS + AUCTIONS => Kind::Auction,
            _ => Kind::Bid,
        }
    }

    pub(crate) fn event_time_ms(&self, number: u64) -> u64 {
        self.first_event_time_ms + number * 1000 / self.events_per_second
    }

    /// The person that event `number`, which is one, introduces.
    pub(crate) fn new_person(&self, number: u64) -> u64 {
        FIRST_PERSON + newest_person(number)
    }

    pub(crate) fn new_auction(&self, number: u64) -> u64 {
        FIRST_AUCTION + newest_auction(number)
    }

    pub(crate) fn seller(&self, number: u64, random: &mut Random) -> u64 {
        let hot = is_hot(self.hot_seller_ratio, random);
        let newest = newest_person(number);
        FIRST_PERSON + if hot { newest / HOT_STRIDE * HOT_STRIDE } else { self.active_person(newest, random) }
    }

    pub(crate) fn bidder(&self, number: u64, random: &mut Random) -> u64 {
        let hot = is_hot(self.hot_bidder_ratio, random);
        let newest = newest_person(number);
        FIRST_PERSON
            + if hot {
                // Next to the hot seller, so that the two are different people.
                newest / HOT_STRIDE * HOT_STRIDE + 1
            } else {
                self.active_person(newest, random)
            }
    }

    pub(crate) fn auction_of_bid(&self, number: u64, random: &mut Random) -> u64 {
        let hot = is_hot(self.hot_auction_ratio, random);
        let newest = newest_auction(number);
        FIRST_AUCTION
            + if hot {
                newest / HOT_STRIDE * HOT_STRIDE
            } else {
                let oldest = newest.saturating_sub(self.in_flight_auctions);
                oldest + random.below(newest - oldest + 1 + ID_LEAD)
            }
    }

    /// Auctions end when, on average, as many later ones began as are to be in flight.
    pub(crate) fn expiry_ms(&self, number: u64, random: &mut Random) -> u64 {
        let now = self.event_time_ms(number);
        let later = number + self.in_flight_auctions * CYCLE / AUCTIONS;
        let average = self.event_time_ms(later) - now;
        now + 1 + random.below((average * 2).max(1))
    }

    pub(crate) fn category(&self, random: &mut Random) -> u64 {
        FIRST_CATEGORY + random.below(CATEGORIES)
    }

    /// Prices in cents, from 100 to 100 million, evenly spread over the orders of magnitude.
    pub(crate) fn price(&self, random: &mut Random) -> u64 {
        (10f64.powf(random.fraction() * 6.0) * 100.0).round() as u64
    }

    fn active_person(&self, newest: u64, random: &mut Random) -> u64 {
        let people = newest + 1;
        let active = people.min(self.active_people);
        people - active + random.below(active + ID_LEAD)
    }
}

fn is_hot(ratio: u64, random: &mut Random) -> bool {
    random.below(ratio) > 0
}

/// The last person, counted from 0, that was introduced by event `number` or before it: a cycle
/// begins with its only person.
fn newest_person(number: u64) -> u64 {
    number / CYCLE
}

/// The last auction, likewise. Before the first auction of all it is that one, which is then only
/// an event ahead.
fn newest_auction(number: u64) -> u64 {
    let begun = (number % CYCLE + 1).saturating_sub(PERSONS).min(AUCTIONS);
    (number / CYCLE * AUCTIONS + begun).saturating_sub(1)
}
