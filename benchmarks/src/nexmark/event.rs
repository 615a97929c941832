//! What a person, an auction and a bid contain, as JSON objects with the columns of Flink's port of
//! Nexmark. Strings are made of letters, digits and URL characters only, so nothing needs escaping.

use super::model::Config;
use super::random::Random;
use super::timestamp::TimestampWriter;

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

/// Bytes that the model counts for the fields of fixed size of each kind of event.
const PERSON_FIXED_BYTES: usize = 8;
const AUCTION_FIXED_BYTES: usize = 8 * 6;
const BID_FIXED_BYTES: usize = 8 * 4;

/// Writes the contents of one event to the end of a buffer.
pub(crate) struct EventWriter<'a> {
    pub(crate) config: &'a Config,
    pub(crate) timestamps: &'a mut TimestampWriter,
    pub(crate) random: Random,
    pub(crate) number: u64,
    pub(crate) to: &'a mut Vec<u8>,
}

impl EventWriter<'_> {
    pub(crate) fn person(mut self) {
        self.integer("{\"id\":", self.config.new_person(self.number));
        let before = self.to.len();
        self.raw(",\"name\":\"");
        let name = self.random.one_of(&FIRST_NAMES);
        self.raw(name);
        self.raw(" ");
        let name = self.random.one_of(&LAST_NAMES);
        self.raw(name);
        self.raw("\",\"emailAddress\":\"");
        self.random.word(7, self.to);
        self.raw("@");
        self.random.word(5, self.to);
        self.raw(".com\",\"creditCard\":\"");
        self.credit_card();
        self.raw("\",\"city\":\"");
        let city = self.random.one_of(&CITIES);
        self.raw(city);
        self.raw("\",\"state\":\"");
        let state = self.random.one_of(&STATES);
        self.raw(state);
        self.raw("\"");
        // The model counts the values only; names and punctuation between them are the encoding's.
        let names = ",\"name\":\"\",\"emailAddress\":\"\",\"creditCard\":\"\",\"city\":\"\",\"state\":\"\"".len();
        let written = self.to.len() - before - names;
        self.date_time();
        self.padding(PERSON_FIXED_BYTES + written, self.config.person_bytes);
    }

    pub(crate) fn auction(mut self) {
        self.integer("{\"id\":", self.config.new_auction(self.number));
        self.raw(",\"itemName\":\"");
        let before = self.to.len();
        self.random.word(20, self.to);
        let name = self.to.len() - before;
        self.raw("\",\"description\":\"");
        let before = self.to.len();
        self.random.word(100, self.to);
        let description = self.to.len() - before;
        self.raw("\"");
        let initial_bid = self.config.price(&mut self.random);
        self.integer(",\"initialBid\":", initial_bid);
        let reserve = initial_bid + self.config.price(&mut self.random);
        self.integer(",\"reserve\":", reserve);
        self.date_time();
        let expires = self.config.expiry_ms(self.number, &mut self.random);
        self.raw(",\"expires\":\"");
        // With a writer of its own: the expiry would push the current second out of the other.
        TimestampWriter::default().write(expires, self.to);
        self.raw("\"");
        let seller = self.config.seller(self.number, &mut self.random);
        self.integer(",\"seller\":", seller);
        let category = self.config.category(&mut self.random);
        self.integer(",\"category\":", category);
        self.padding(AUCTION_FIXED_BYTES + name + description, self.config.auction_bytes);
    }

    pub(crate) fn bid(mut self) {
        let auction = self.config.auction_of_bid(self.number, &mut self.random);
        self.integer("{\"auction\":", auction);
        let bidder = self.config.bidder(self.number, &mut self.random);
        self.integer(",\"bidder\":", bidder);
        let price = self.config.price(&mut self.random);
        self.integer(",\"price\":", price);
        self.channel_and_url();
        self.date_time();
        self.padding(BID_FIXED_BYTES, self.config.bid_bytes);
    }

    /// Half of the bids come by one of four channels, the others by one of ten thousand. A
    /// channel's URL is always the same, and nine in ten URLs name the channel.
    fn channel_and_url(&mut self) {
        self.raw(",\"channel\":\"");
        let hot = self.random.below(2) == 0;
        let channel = if hot {
            let hot = self.random.below(HOT_CHANNELS.len() as u64);
            self.raw(HOT_CHANNELS[hot as usize]);
            CHANNELS + hot
        } else {
            let channel = self.random.below(CHANNELS);
            self.integer("channel-", channel);
            channel
        };
        self.raw("\",\"url\":\"https://www.nexmark.com/");
        let mut of_channel = Random::for_event(self.config.seed, u64::MAX - channel);
        for _ in 0..3 {
            of_channel.word(6, self.to);
            self.raw("/");
        }
        self.raw("item.htm?query=1");
        if !hot && of_channel.below(10) > 0 {
            let id = u64::from((channel as u32).reverse_bits() & i32::MAX as u32);
            self.integer("&channel_id=", id);
        }
        self.raw("\"");
    }

    fn credit_card(&mut self) {
        let digits = self.random.below(10_000_000_000_000_000);
        for group in 0..4 {
            if group > 0 {
                self.raw(" ");
            }
            let four = digits / 10_000u64.pow(3 - group) % 10_000;
            let digit = |value: u64| b'0' + (value % 10) as u8;
            self.to.extend_from_slice(&[digit(four / 1000), digit(four / 100), digit(four / 10), digit(four)]);
        }
    }

    fn date_time(&mut self) {
        self.raw(",\"dateTime\":\"");
        self.timestamps.write(self.config.event_time_ms(self.number), self.to);
        self.raw("\"");
    }

    /// Ends the object with `extra`: letters that bring an event of `counted` bytes to the
    /// `average`, give or take a fifth of what was missing.
    fn padding(&mut self, counted: usize, average: u64) {
        self.raw(",\"extra\":\"");
        let missing = average.saturating_sub(counted as u64);
        let spread = (missing + 2) / 5;
        let length = missing - spread + self.random.below(2 * spread + 1);
        self.random.letters(length as usize, self.to);
        self.raw("\"}");
    }

    fn raw(&mut self, text: &str) {
        self.to.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, name: &str, value: u64) {
        self.raw(name);
        self.raw(itoa::Buffer::new().format(value));
    }
}
