//! `kill -9` at moments that a seed decides, while events come in: what is committed in the end is what the
//! oracle says, nothing lost, nothing doubled. MILLRACE_KILLS and MILLRACE_EVENTS make it as long as one
//! likes (`make kill-test`); MILLRACE_SEED has the same moments again.

use super::events::{Difference, Event, Feed, NEVER_IDLE, Windows, events_table, tumbling_and_hopping, window_rows};
use super::harness::{Job, Kafka, Millrace, PATIENCE, Random, Reader, Record};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a test is.
struct Form {
    kills: u64,
    events: u64,
}

impl Form {
    fn of_environment(kills: u64, events: u64) -> Self {
        let number = |name: &str, default| {
            std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
        };
        Self { kills: number("MILLRACE_KILLS", kills), events: number("MILLRACE_EVENTS", events) }
    }
}

/// When to kill.
#[derive(Debug)]
enum Moment {
    /// So long after the process began: mostly while it claims and replays.
    Starting(Duration),
    /// So long after it began to read: an epoch is open, ending, or being committed.
    Working(Duration),
    /// So long after a commit was seen: changes may not be in RocksDB yet.
    Committed(Duration),
}

impl Moment {
    fn random(random: &mut Random) -> Self {
        match random.below(0..4) {
            0 => Self::Starting(random.millis(0..1000)),
            1 | 2 => Self::Working(random.millis(0..1500)),
            _ => Self::Committed(random.millis(0..50)),
        }
    }

    fn await_in(&self, millrace: &Millrace) {
        match self {
            Self::Starting(after) => millrace.pause(*after),
            Self::Working(after) => {
                millrace.wait_for_log("restored");
                millrace.pause(*after);
            }
            Self::Committed(after) => {
                millrace.wait_until_running();
                millrace.until_next_commits(0);
                millrace.pause(*after);
            }
        }
    }
}

/// Starts the job and kills it, again and again; one time in three its volume is lost, too.
fn kill_again_and_again(job: &Job, kills: u64, random: &mut Random) {
    for kill in 0..kills {
        let millrace = job.start();
        let moment = Moment::random(random);
        moment.await_in(&millrace);
        assert!(!millrace.has_ended(), "it ended before kill {kill}, {moment:?}; its log:\n{}", millrace.log());
        millrace.kill();
        let wipe = random.below(0..3) == 0;
        if wipe {
            job.wipe_state();
        }
        println!("kill {kill}: {moment:?}{}", if wipe { ", volume lost" } else { "" });
    }
}

/// Kills the job while events come in; `each` hears of every event. Afterwards all of them are in.
fn kill_under_load(job: &Job, form: &Form, feed: &mut Feed, random: &mut Random, mut each: impl FnMut(&Event) + Send) {
    let pieces = form.kills * 25;
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in 0..pieces {
                feed.send(form.events * (piece + 1) / pieces - form.events * piece / pieces, &mut each);
                if !killed.load(Ordering::Relaxed) {
                    feed.producer().pause(Duration::from_millis(100));
                }
            }
        });
        kill_again_and_again(job, form.kills, random);
        killed.store(true, Ordering::Relaxed);
    });
}

/// Runs the job until the readers have seen what they should, or for as long as a test waits; then stops
/// it, and returns everything that is committed.
fn run_to_end(job: &Job, mut readers: Vec<(Reader, usize)>) -> Vec<Vec<Record>> {
    let millrace = job.start();
    let mut found: Vec<Vec<Record>> = readers.iter().map(|_| Vec::new()).collect();
    // What is missing in the end is for the comparison to tell.
    millrace.try_until(PATIENCE, || {
        let mut complete = true;
        for ((reader, count), found) in readers.iter_mut().zip(&mut found) {
            found.extend(reader.poll());
            complete &= found.len() >= *count;
        }
        complete.then_some(())
    });
    millrace.stop().assert_code(0);
    for ((reader, _), found) in readers.into_iter().zip(&mut found) {
        found.extend(reader.read_to_end());
    }
    found
}

#[test]
fn windows_are_exact_whenever_the_job_is_killed() {
    let Some(kafka) = Kafka::apache("kill-windows") else { return };
    let form = Form::of_environment(8, 100_000);
    let mut random = Random::seeded("kill test of windows");
    let events = kafka.topic("events", 4);
    let (tumbled, hopped) = (kafka.topic("tumbled", 3), kafka.topic("hopped", 3));
    let sql = tumbling_and_hopping(&events, &tumbled, &hopped);
    let job = Job::new(&kafka, "job", &sql);
    let mut feed = Feed::new(&kafka, &events, random.next());
    let (mut tumbling, mut hopping) = (Windows::tumbling(1_000), Windows::hopping(10_000, 5_000));
    kill_under_load(&job, &form, &mut feed, &mut random, |event| {
        tumbling.add(event);
        hopping.add(event);
    });
    feed.send_sentinels();

    let (tumbling, hopping) = (tumbling.rows(), hopping.rows());
    let readers = vec![(kafka.reader(&tumbled), tumbling.len()), (kafka.reader(&hopped), hopping.len())];
    let found = run_to_end(&job, readers);
    let tumbled = Difference::between(&tumbling, window_rows(&found[0]));
    let hopped = Difference::between(&hopping, window_rows(&found[1]));
    report(&form, [&tumbled, &hopped]);
    tumbled.assert_none("tumbling windows");
    hopped.assert_none("hopping windows");
}

#[test]
fn every_record_passes_once_whenever_the_job_is_killed() {
    let Some(kafka) = Kafka::apache("kill-records") else { return };
    let form = Form::of_environment(5, 50_000);
    let mut random = Random::seeded("kill test of records");
    let (events, passed) = (kafka.topic("events", 4), kafka.topic("passed", 3));
    let sql = format!(
        "{}CREATE TABLE passed (id BIGINT, k STRING, w BIGINT) WITH ('connector' = 'kafka', 'topic' = '{passed}', \
         'format' = 'json');\nINSERT INTO passed SELECT id, UPPER(k), v * 2 FROM events;\n",
        events_table(&events, NEVER_IDLE)
    );
    let job = Job::new(&kafka, "job", &sql);
    let mut feed = Feed::new(&kafka, &events, random.next());
    let mut expected = BTreeMap::new();
    kill_under_load(&job, &form, &mut feed, &mut random, |event| {
        expected.insert(event.id, (event.key.to_uppercase(), event.value * 2));
    });

    let found = run_to_end(&job, vec![(kafka.reader(&passed), expected.len())]);
    let found = found[0].iter().map(Record::json).map(|row| {
        let (id, w) = (row["id"].as_u64().expect("an id"), row["w"].as_i64().expect("a number"));
        (id, (row["k"].as_str().expect("a key").to_owned(), w))
    });
    let difference = Difference::between(&expected, found);
    report(&form, [&difference]);
    difference.assert_none("records");
}

fn report<'a>(form: &Form, differences: impl IntoIterator<Item = &'a Difference>) {
    let (mut lost, mut doubled, mut wrong) = (0, 0, 0);
    for difference in differences {
        lost += difference.lost.len();
        doubled += difference.doubled.len();
        wrong += difference.wrong.len();
    }
    let Form { kills, events } = form;
    let wrong = if wrong > 0 { format!(", wrong {wrong}") } else { String::new() };
    println!("kill test: {events} records, {kills} kills, lost {lost}, doubled {doubled}{wrong}");
}
