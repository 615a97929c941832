//! Window joins of two topics, compared with every pair of events that has to come of them. On a broker in this
//! process: there is nothing here that the real one would do otherwise.

use super::events::{BASE, DELAY_MILLIS, Difference, Event, Feed, NEVER_IDLE, await_records};
use super::harness::{Job, OwnBroker, Random, Record, run_bounded};
use std::collections::BTreeMap;

/// An output topic, and two of input with different numbers of partitions.
pub(super) const TOPICS: [(&str, i32); 3] = [("left", 2), ("right", 3), ("joined", 2)];

/// Joins events of the same key and the same remainder in windows; of each pair the second is not the smaller one.
pub(super) fn join(function: &str, intervals: &str, options: &str) -> String {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name}_events (\n  id BIGINT, k STRING, v BIGINT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3),\n  \
             WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND\n) WITH ('connector' = 'kafka', 'topic' = '{name}', \
             'format' = 'json', 'scan.startup.mode' = 'earliest-offset'{options});\n",
            DELAY_MILLIS / 1000
        )
    };
    let windows = |name: &str| format!("TABLE({function}(TABLE {name}_events, DESCRIPTOR(ts), {intervals}))");
    format!(
        "{}{}CREATE TABLE joined (window_end TIMESTAMP(3), l BIGINT, r BIGINT)\n\
         WITH ('connector' = 'kafka', 'topic' = 'joined', 'format' = 'json');\n\
         INSERT INTO joined SELECT l.window_end, l.id, r.id\nFROM {} AS l JOIN {} AS r\n\
         ON l.k = r.k AND MOD(l.v, 20) = MOD(r.v, 20) AND l.v <= r.v\n\
         AND l.window_start = r.window_start AND l.window_end = r.window_end;\n",
        table("left"),
        table("right"),
        windows("left"),
        windows("right"),
    )
}

/// What the join has to come to, by windows' ends and the events' ids. `has_key` is false for a NULL.
pub(super) fn pairs(
    (size, slide): (i64, i64),
    left: &[Event],
    right: &[Event],
    has_key: impl Fn(&Event) -> bool,
) -> BTreeMap<String, ()> {
    let ends = |event: &Event| {
        let first = event.at - event.at.rem_euclid(slide) + slide;
        (first..=event.at + size).step_by(slide as usize).collect::<Vec<_>>()
    };
    let mut pairs = BTreeMap::new();
    for l in left.iter().filter(|event| has_key(event)) {
        for r in right.iter().filter(|r| has_key(r) && r.key == l.key && l.v_joins(r)) {
            for end in ends(l).into_iter().filter(|end| ends(r).contains(end)) {
                let end = chrono::DateTime::from_timestamp_millis(end).expect("a year of four digits");
                pairs.insert(format!("{} {} {}", end.format("%Y-%m-%d %H:%M:%S%.f"), l.id, r.id), ());
            }
        }
    }
    pairs
}

impl Event {
    fn v_joins(&self, right: &Event) -> bool {
        self.value % 20 == right.value % 20 && self.value <= right.value
    }
}

pub(super) fn found(records: &[Record]) -> impl Iterator<Item = (String, ())> {
    records.iter().map(|record| {
        let json = record.json();
        let end = json["window_end"].as_str().unwrap_or_else(|| panic!("no window_end in {json}"));
        (format!("{end} {} {}", json["l"], json["r"]), ())
    })
}

#[test]
fn a_bounded_join_has_every_pair_of_a_window_once() {
    let own = OwnBroker::start(&TOPICS);
    let mut random = Random::seeded("bounded join");
    let mut events = |count: u64| -> Vec<Event> {
        let event = |id| {
            let key = ["a", "b", "c", "null"][random.below(0..4) as usize];
            let late = random.below(0..DELAY_MILLIS as u64) as i64;
            Event::new(id, key, random.below(0..200) as i64 - 100, id as i64 * 20 - late)
        };
        (1..=count).map(event).collect()
    };
    let (left, right) = (events(600), events(500));
    let producer = own.kafka.producer();
    for (topic, events, partitions) in [("left", &left, 2), ("right", &right, 3)] {
        for event in events {
            let json = event.json().replace(r#""null""#, "null");
            producer.send(topic, (event.id % partitions) as i32, None, &json);
        }
    }
    producer.flush();
    run_bounded(&own.kafka, &join("HOP", "INTERVAL '1' SECOND, INTERVAL '3' SECOND", ""));
    let expected = pairs((3_000, 1_000), &left, &right, |event| event.key != "null");
    assert!(expected.len() > 500, "few pairs: {}", expected.len());
    Difference::between(&expected, found(&own.kafka.read("joined"))).assert_none("pairs");
    own.stop();
}

#[test]
fn a_join_that_was_stopped_and_killed_goes_on_where_it_was() {
    let own = OwnBroker::start(&TOPICS);
    let mut random = Random::seeded("join and kill");
    let job = Job::new(&own.kafka, "job", &join("TUMBLE", "INTERVAL '1' SECOND", NEVER_IDLE));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut left_feed = Feed::new(&own.kafka, "left", random.next());
    let mut right_feed = Feed::new(&own.kafka, "right", random.next());

    let mut millrace = job.start();
    millrace.wait_until_running();
    for round in 0..4 {
        left_feed.send(2_000, |event| left.push(event.clone()));
        right_feed.send(2_000, |event| right.push(event.clone()));
        millrace.until_next_commits(1);
        if round % 2 == 0 {
            millrace.stop().assert_code(0);
        } else {
            millrace.pause(random.millis(0..500));
            millrace.kill();
        }
        millrace = job.start();
        millrace.wait_until_running();
    }
    left_feed.send_sentinels();
    right_feed.send_sentinels();
    let expected = pairs((1_000, 1_000), &left, &right, |_| true);
    assert!(expected.len() > 500, "few pairs: {}", expected.len());
    await_records(&own.kafka, &millrace, "joined", expected.len());
    millrace.until_next_commits(2);
    millrace.stop().assert_code(0);
    Difference::between(&expected, found(&own.kafka.read("joined"))).assert_none("pairs");
    drop((left_feed, right_feed));
    own.stop();
}

#[test]
fn the_oracle_knows_the_windows_of_an_event() {
    let event = |id, at| Event { id, key: "k".to_owned(), value: 0, at: BASE + at };
    let found = pairs((3_000, 1_000), &[event(1, 500)], &[event(2, 1_500)], |_| true);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["2025-06-01 00:00:02 1 2", "2025-06-01 00:00:03 1 2"]);
}
