//! What the generator must keep to: the model's proportions, sizes and skew, valid JSON, and the
//! same events for the same seed.

use super::model::{Config, Kind};
use super::{JsonWriter, timestamp::TimestampWriter};
use serde_json::Value;

fn events(config: Config, numbers: std::ops::Range<u64>) -> Vec<Value> {
    let mut writer = JsonWriter::new(config);
    numbers.map(|number| serde_json::from_slice(writer.record(number)).expect("a record is a JSON object")).collect()
}

fn bids(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event_type"] == 2).map(|event| &event["bid"]).collect()
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[test]
fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
    let config = Config::default();
    let count = |kind| (0..50_000).filter(|&number| config.kind(number) == kind).count();
    assert_eq!(count(Kind::Person), 1_000);
    assert_eq!(count(Kind::Auction), 3_000);
    assert_eq!(count(Kind::Bid), 46_000);
}

#[test]
fn an_event_has_the_object_of_its_type_and_nulls_for_the_others() {
    for event in events(Config::default(), 0..200) {
        let kind = event["event_type"].as_u64().expect("a type");
        for (code, name) in ["person", "auction", "bid"].into_iter().enumerate() {
            assert_eq!(event[name].is_object(), code as u64 == kind, "{event}");
            assert_eq!(event[name].is_null(), code as u64 != kind, "{event}");
        }
    }
}

#[test]
fn the_objects_have_the_columns_of_flinks_port() {
    let columns = |value: &Value| {
        let mut names: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    let events = events(Config::default(), 0..5);
    assert_eq!(columns(&events[0]["person"]), "city creditCard dateTime emailAddress extra id name state");
    assert_eq!(
        columns(&events[1]["auction"]),
        "category dateTime description expires extra id initialBid itemName reserve seller"
    );
    assert_eq!(columns(&events[4]["bid"]), "auction bidder channel dateTime extra price url");
}

#[test]
fn the_same_seed_gives_the_same_events_in_any_order() {
    let mut forwards = JsonWriter::new(Config::default());
    let written: Vec<_> = (0..500).map(|number| forwards.record(number).to_vec()).collect();
    let mut backwards = JsonWriter::new(Config::default());
    for number in (0..500).rev() {
        assert_eq!(backwards.record(number), written[number as usize]);
    }
    let mut other = JsonWriter::new(Config { seed: 2, ..Config::default() });
    assert_ne!(other.record(4), written[4]);
}

#[test]
fn ids_of_people_and_auctions_are_dense() {
    let events = events(Config::default(), 0..5_000);
    let ids = |kind: &str| -> Vec<u64> { events.iter().filter_map(|event| event[kind]["id"].as_u64()).collect() };
    assert_eq!(ids("person"), (1000..1100).collect::<Vec<_>>());
    assert_eq!(ids("auction"), (1000..1300).collect::<Vec<_>>());
}

#[test]
fn event_time_advances_at_the_configured_rate() {
    let config = Config { events_per_second: 1_000, ..Config::default() };
    let events = events(config, 0..3_000);
    let time = |event: &Value| {
        ["person", "auction", "bid"]
            .iter()
            .find_map(|kind| event[kind]["dateTime"].as_str())
            .expect("a time")
            .to_owned()
    };
    assert_eq!(time(&events[0]), "2025-01-01 00:00:00.000");
    assert_eq!(time(&events[1]), "2025-01-01 00:00:00.001");
    assert_eq!(time(&events[2_999]), "2025-01-01 00:00:02.999");
}

#[test]
fn half_of_the_bids_go_to_a_hot_auction_and_three_in_four_come_from_a_hot_bidder() {
    let events = events(Config::default(), 100_000..150_000);
    let bids = bids(&events);
    let hot_auctions = bids.iter().filter(|bid| bid["auction"].as_u64().expect("an id") % 100 == 0).count();
    let hot_bidders = bids.iter().filter(|bid| bid["bidder"].as_u64().expect("an id") % 100 == 1).count();
    // A hundredth of the others hits the same ids by chance.
    assert!((share(hot_auctions, bids.len()) - 0.505).abs() < 0.02);
    assert!((share(hot_bidders, bids.len()) - 0.7525).abs() < 0.02);
}

#[test]
fn bids_refer_to_auctions_in_flight_and_active_people() {
    let config = Config::default();
    let mut writer = JsonWriter::new(config.clone());
    for number in (200_000..201_000).filter(|&number| config.kind(number) == Kind::Bid) {
        let event: Value = serde_json::from_slice(writer.record(number)).expect("JSON");
        let auction = event["bid"]["auction"].as_u64().expect("an id");
        let bidder = event["bid"]["bidder"].as_u64().expect("an id");
        let (newest_auction, newest_person) = (config.new_auction(number), config.new_person(number));
        assert!((newest_auction - 101..=newest_auction + 10).contains(&auction));
        assert!((newest_person - 1000..=newest_person + 10).contains(&bidder));
    }
}

#[test]
fn prices_span_six_orders_of_magnitude() {
    let events = events(Config::default(), 0..20_000);
    let prices: Vec<_> = bids(&events).iter().map(|bid| bid["price"].as_u64().expect("a price")).collect();
    assert!(prices.iter().all(|price| (100..=100_000_000).contains(price)));
    let below_middle = prices.iter().filter(|&&price| price < 100_000).count();
    assert!((share(below_middle, prices.len()) - 0.5).abs() < 0.02);
}

#[test]
fn padding_brings_the_fields_to_their_average_sizes() {
    let events = events(Config::default(), 0..50_000);
    let average = |kind: &str, fixed: usize, strings: &[&str]| {
        let sizes: Vec<usize> = events
            .iter()
            .filter(|event| event[kind].is_object())
            .map(|event| {
                fixed + strings.iter().map(|name| event[kind][name].as_str().expect("text").len()).sum::<usize>()
            })
            .collect();
        sizes.iter().sum::<usize>() as f64 / sizes.len() as f64
    };
    let person = average("person", 8, &["name", "emailAddress", "creditCard", "city", "state", "extra"]);
    let auction = average("auction", 48, &["itemName", "description", "extra"]);
    let bid = average("bid", 32, &["extra"]);
    assert!((person - 200.0).abs() < 5.0, "{person}");
    assert!((auction - 500.0).abs() < 5.0, "{auction}");
    assert!((bid - 100.0).abs() < 1.0, "{bid}");
}

#[test]
fn a_record_has_about_335_bytes() {
    let mut writer = JsonWriter::new(Config::default());
    let bytes: usize = (0..50_000).map(|number| writer.record(number).len()).sum();
    assert!((bytes as f64 / 50_000.0 - 335.0).abs() < 15.0, "{}", bytes as f64 / 50_000.0);
}

#[test]
fn half_of_the_bids_come_by_a_hot_channel_and_a_channel_keeps_its_url() {
    let events = events(Config::default(), 0..50_000);
    let mut urls = std::collections::HashMap::new();
    let mut hot = 0;
    let bids = bids(&events);
    for bid in &bids {
        let channel = bid["channel"].as_str().expect("a channel");
        hot += usize::from(!channel.starts_with("channel-"));
        let url = urls.entry(channel).or_insert(&bid["url"]);
        assert_eq!(*url, &bid["url"]);
    }
    assert!((share(hot, bids.len()) - 0.5).abs() < 0.02);
}

#[test]
fn auctions_expire_after_they_begin() {
    for event in events(Config::default(), 0..5_000) {
        if let Some(expires) = event["auction"]["expires"].as_str() {
            assert!(expires > event["auction"]["dateTime"].as_str().expect("a time"), "{event}");
        }
    }
}

#[test]
fn timestamps_know_the_calendar() {
    let text = |epoch_ms| {
        let mut written = Vec::new();
        TimestampWriter::default().write(epoch_ms, &mut written);
        String::from_utf8(written).expect("ASCII")
    };
    assert_eq!(text(0), "1970-01-01 00:00:00.000");
    assert_eq!(text(951_782_399_999), "2000-02-28 23:59:59.999");
    assert_eq!(text(951_782_400_000), "2000-02-29 00:00:00.000");
    assert_eq!(text(1_735_689_599_005), "2024-12-31 23:59:59.005");
    assert_eq!(text(4_107_542_400_000), "2100-03-01 00:00:00.000");
}
