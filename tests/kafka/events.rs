//! Events with a time of their own, out of order within the watermark's delay, and what windows over them
//! have to come to: the oracle, a few lines that anybody can check by eye.

use super::harness::{Kafka, Millrace, Producer, Random, Record};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// When the first event happens: 2025-06-01 00:00:00 UTC, the start of a window of any size.
pub(super) const BASE: i64 = 1_748_736_000_000;
/// What watermarks stay behind.
pub(super) const DELAY_MILLIS: i64 = 2_000;
const SENTINEL: &str = "sentinel";

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) key: String,
    pub(super) value: i64,
    /// Epoch milliseconds.
    pub(super) at: i64,
}

impl Event {
    /// An event that many milliseconds after the first.
    pub(super) fn new(id: u64, key: &str, value: i64, after_millis: i64) -> Self {
        Self { id, key: key.to_owned(), value, at: BASE + after_millis }
    }

    /// One that closes every window before it; its own windows stay open for ever.
    pub(super) fn sentinel(after_millis: i64) -> Self {
        Self::new(0, SENTINEL, 0, after_millis)
    }

    pub(super) fn json(&self) -> String {
        let Self { id, key, value, at } = self;
        format!(r#"{{"id":{id},"k":"{key}","v":{value},"ms":{at}}}"#)
    }
}

/// The table of events in a topic. `options` are further ones, each with a comma before it.
pub(super) fn events_table(topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE events (\n  id BIGINT, k STRING, v BIGINT, ms BIGINT,\n  ts AS TO_TIMESTAMP_LTZ(ms, 3),\n  \
         WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND\n) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
         'format' = 'json', 'scan.startup.mode' = 'earliest-offset'{options});\n",
        DELAY_MILLIS / 1000
    )
}

/// No partition is ever idle: watermarks follow from the data alone.
pub(super) const NEVER_IDLE: &str = ", 'scan.watermark.idle-timeout' = '0'";

/// A table for [`window_query`]'s rows.
pub(super) fn windows_table(name: &str, topic: &str) -> String {
    format!(
        "CREATE TABLE {name} (window_start TIMESTAMP(3), k STRING, n BIGINT, total BIGINT)\n\
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json');\n"
    )
}

/// Fills a table of windows; `window` is the table function with its intervals.
pub(super) fn window_query(into: &str, function: &str, intervals: &str) -> String {
    format!(
        "INSERT INTO {into} SELECT window_start, k, COUNT(*), SUM(v)\n\
         FROM TABLE({function}(TABLE events, DESCRIPTOR(ts), {intervals}))\n\
         GROUP BY window_start, window_end, k;\n"
    )
}

/// Counts per second, to a topic: the job that most tests run.
pub(super) fn counts_per_second(from: &str, to: &str, options: &str) -> String {
    let query = window_query("counts", "TUMBLE", "INTERVAL '1' SECOND");
    format!("{}{}{query}", events_table(from, options), windows_table("counts", to))
}

/// Tumbling windows of a second and hopping ones of ten by five, from one topic to two.
pub(super) fn tumbling_and_hopping(from: &str, tumbled: &str, hopped: &str) -> String {
    [
        events_table(from, NEVER_IDLE),
        windows_table("tumbled", tumbled),
        windows_table("hopped", hopped),
        "EXECUTE STATEMENT SET BEGIN\n".to_owned(),
        window_query("tumbled", "TUMBLE", "INTERVAL '1' SECOND"),
        window_query("hopped", "HOP", "INTERVAL '5' SECOND, INTERVAL '10' SECOND"),
        "END;\n".to_owned(),
    ]
    .concat()
}

/// What windows have to come to.
pub(super) struct Windows {
    size: i64,
    slide: i64,
    /// Count and sum by start and key.
    found: BTreeMap<(i64, String), (i64, i64)>,
}

impl Windows {
    pub(super) fn tumbling(size: i64) -> Self {
        Self::hopping(size, size)
    }

    pub(super) fn hopping(size: i64, slide: i64) -> Self {
        Self { size, slide, found: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, event: &Event) {
        if event.key == SENTINEL {
            return;
        }
        let mut start = event.at - event.at.rem_euclid(self.slide);
        while start > event.at - self.size {
            let (count, sum) = self.found.entry((start, event.key.clone())).or_default();
            *count += 1;
            *sum += event.value;
            start -= self.slide;
        }
    }

    pub(super) fn of<'a>(mut self, events: impl IntoIterator<Item = &'a Event>) -> Self {
        events.into_iter().for_each(|event| self.add(event));
        self
    }

    /// As [`window_rows`] reads them back.
    pub(super) fn rows(&self) -> BTreeMap<String, String> {
        let row = |((start, key), (count, sum)): (&(i64, String), &(i64, i64))| {
            let start = chrono::DateTime::from_timestamp_millis(*start).expect("a year of four digits");
            (format!("{} {key}", start.format("%Y-%m-%d %H:%M:%S%.f")), format!("{count} {sum}"))
        };
        self.found.iter().map(row).collect()
    }
}

/// The rows of a table of windows: window and key, and what they come to.
pub(super) fn window_rows(records: &[Record]) -> Vec<(String, String)> {
    let row = |record: &Record| {
        let json = record.json();
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {json}")).to_owned();
        let number = |name: &str| json[name].as_i64().unwrap_or_else(|| panic!("{name} in {json}"));
        (format!("{} {}", text("window_start"), text("k")), format!("{} {}", number("n"), number("total")))
    };
    records.iter().map(row).collect()
}

/// How an output differs from what it has to be.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) lost: Vec<String>,
    pub(super) doubled: Vec<String>,
    pub(super) wrong: Vec<String>,
}

impl Difference {
    pub(super) fn between<K: Ord + Debug, V: PartialEq + Debug>(
        expected: &BTreeMap<K, V>,
        found: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut difference = Self::default();
        let mut seen: BTreeMap<K, V> = BTreeMap::new();
        for (key, value) in found {
            match expected.get(&key) {
                _ if seen.contains_key(&key) => {
                    difference.doubled.push(format!("{key:?}: {value:?}, {:?}", seen[&key]))
                }
                None => difference.wrong.push(format!("{key:?}: {value:?} where nothing should be")),
                Some(right) if *right != value => difference.wrong.push(format!("{key:?}: {value:?}, not {right:?}")),
                Some(_) => {}
            }
            seen.insert(key, value);
        }
        let lost = expected.iter().filter(|(key, _)| !seen.contains_key(key));
        difference.lost = lost.map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        difference
    }

    /// Fails with the first few of each kind.
    pub(super) fn assert_none(mut self, what: &str) {
        let (lost, doubled, wrong) = (self.lost.len(), self.doubled.len(), self.wrong.len());
        [&mut self.lost, &mut self.doubled, &mut self.wrong].into_iter().for_each(|rows| rows.truncate(10));
        assert!(lost + doubled + wrong == 0, "{what}: lost {lost}, doubled {doubled}, wrong {wrong}; {self:#?}");
    }
}

/// Checks that a topic of windows holds exactly these.
pub(super) fn assert_windows(windows: &Windows, records: &[Record], what: &str) {
    Difference::between(&windows.rows(), window_rows(records)).assert_none(what);
}

/// Waits until a topic has at least as many records as there have to be; returns those that are there.
pub(super) fn await_records(kafka: &Kafka, millrace: &Millrace, topic: &str, count: usize) -> Vec<Record> {
    let (mut reader, mut records) = (kafka.reader(topic), Vec::new());
    millrace.until(&format!("{count} records in {topic}"), || {
        records.extend(reader.poll());
        (records.len() >= count).then_some(())
    });
    records
}

/// Writes events into a topic, in all partitions alike.
pub(super) struct Feed {
    producer: Producer,
    topic: String,
    partitions: i32,
    random: Random,
    next: u64,
}

const KEYS: u64 = 50;

impl Feed {
    pub(super) fn new(kafka: &Kafka, topic: &str, seed: u64) -> Self {
        let partitions = kafka.partitions(topic) as i32;
        Self { producer: kafka.producer(), topic: topic.to_owned(), partitions, random: Random::new(seed), next: 0 }
    }

    /// Writes some events, each a millisecond after the other, but told up to the delay later.
    pub(super) fn send(&mut self, count: u64, mut each: impl FnMut(&Event)) {
        for id in self.next..self.next + count {
            let early = self.random.below(0..DELAY_MILLIS as u64) as i64;
            let key = format!("k{}", self.random.below(0..KEYS));
            let event = Event::new(id, &key, self.random.below(0..1000) as i64 - 500, DELAY_MILLIS + id as i64 - early);
            self.producer.send(&self.topic, (id % self.partitions as u64) as i32, None, &event.json());
            each(&event);
        }
        self.next += count;
        self.producer.flush();
    }

    /// An event in every partition, after which all windows before it are complete.
    pub(super) fn send_sentinels(&self) {
        let sentinel = Event::sentinel(DELAY_MILLIS + self.next as i64 + 3_600_000);
        (0..self.partitions).for_each(|partition| self.producer.send(&self.topic, partition, None, &sentinel.json()));
        self.producer.flush();
    }

    pub(super) fn producer(&self) -> &Producer {
        &self.producer
    }
}

#[test]
fn a_comparison_tells_lost_doubled_and_wrong_rows_apart() {
    let expected = BTreeMap::from([("a", 1), ("b", 2), ("c", 3)]);
    let found = [("a", 1), ("b", 5), ("a", 1), ("d", 4)];
    let Difference { lost, doubled, wrong } = Difference::between(&expected, found);
    assert_eq!((lost.len(), doubled.len(), wrong.len()), (1, 1, 2), "c, a, and b with d");
}

#[test]
fn an_event_counts_in_every_window_that_it_is_in() {
    let event = Event::new(1, "k", 5, 7_000);
    let hopping = Windows::hopping(10_000, 5_000).of([&event, &event]).rows();
    let window = |start: &str| (format!("{start} k"), "2 10".to_owned());
    assert_eq!(hopping, BTreeMap::from([window("2025-06-01 00:00:00"), window("2025-06-01 00:00:05")]));
    let tumbling = Windows::tumbling(1_000).of([&event]).rows();
    assert_eq!(tumbling.into_keys().collect::<Vec<_>>(), ["2025-06-01 00:00:07 k"]);
}
