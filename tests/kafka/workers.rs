//! Jobs of several workers: their tasks send each other rows through Kafka, they are killed one by one, and
//! one generation takes over from another while events come in. What comes out is what one worker's would be.

use super::events::{
    Difference, Event, Feed, NEVER_IDLE, Windows, assert_windows, counts_per_second, tumbling_and_hopping, window_rows,
};
use super::harness::{Job, Kafka, Millrace, Random, Workers};

const STOOD_DOWN: i32 = 3;

/// Waits until the topic has as many records as there have to be, whichever worker writes them.
fn await_windows(kafka: &Kafka, workers: &[Millrace], topic: &str, windows: &Windows) {
    super::events::await_records(kafka, &workers[0], topic, windows.rows().len());
}

fn stop(workers: Vec<Millrace>) {
    workers.into_iter().for_each(|worker| worker.stop().assert_code(0));
}

#[test]
fn tasks_of_different_workers_aggregate_together() {
    let Some(kafka) = Kafka::apache("workers") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let running = workers.start_all(1, 3);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 5), Windows::tumbling(1_000));
    feed.send(20_000, |event| windows.add(event));
    feed.send_sentinels();
    await_windows(&kafka, &running, &to, &windows);
    stop(running);
    assert_windows(&windows, &kafka.read(&to), "the windows of three workers");
}

#[test]
fn generations_of_any_size_take_over_from_each_other_under_load() {
    let Some(kafka) = Kafka::apache("generations") else { return };
    let mut random = Random::seeded("generations");
    let from = kafka.topic("events", 4);
    let (tumbled, hopped) = (kafka.topic("tumbled", 3), kafka.topic("hopped", 3));
    let sql = tumbling_and_hopping(&from, &tumbled, &hopped);
    let job = Job::new(&kafka, "job", &sql);
    let workers = Workers::create(&job);
    let mut feed = Feed::new(&kafka, &from, random.next());
    let (mut tumbling, mut hopping) = (Windows::tumbling(1_000), Windows::hopping(10_000, 5_000));
    let mut send = |count| {
        feed.send(count, |event: &Event| {
            tumbling.add(event);
            hopping.add(event);
        });
    };
    let mut running: Vec<Millrace> = Vec::new();
    for (generation, replicas) in [(1, 1), (2, 3), (3, 2), (4, 4), (5, 1)] {
        let next = workers.start_all(generation, replicas);
        send(3_000);
        // Whoever held the tasks is fenced, finds out, and leaves.
        running.drain(..).for_each(|worker| worker.wait().assert_code(STOOD_DOWN));
        running = next;
        running.iter().for_each(Millrace::wait_until_running);
        send(3_000);
        running.iter().for_each(|worker| worker.until_next_commits(1));
        // One of them is killed and comes back, with or without its volume.
        let ordinal = random.below(0..u64::from(replicas)) as usize;
        running.remove(ordinal).kill();
        let lost = random.below(0..2) == 1;
        println!("generation {generation}: worker {ordinal} of {replicas} comes back, volume lost: {lost}");
        let worker = match lost {
            false => workers.start(generation, ordinal as u32, replicas),
            true => workers.start_in(&format!("new-volume-{generation}"), generation, ordinal as u32, replicas),
        };
        running.insert(ordinal, worker);
        send(3_000);
        running[ordinal].wait_until_running();
        let status = running[ordinal].status().expect("it serves its status");
        assert_eq!(status["worker"]["generation"], generation);
        let tasks = status["worker"]["tasks"].as_array().expect("its tasks").len();
        // A process killed before its first checkpoint has left nothing to go on from.
        assert!(!lost || status["restore"]["tasksFromVolume"] == 0, "{status}");
        assert!(status["restore"]["logRecords"].as_u64() >= Some(tasks as u64), "its claims at least: {status}");
    }
    feed.send_sentinels();
    await_windows(&kafka, &running, &tumbled, &tumbling);
    await_windows(&kafka, &running, &hopped, &hopping);
    stop(running);
    for (topic, windows, what) in [(&tumbled, &tumbling, "tumbling windows"), (&hopped, &hopping, "hopping windows")] {
        Difference::between(&windows.rows(), window_rows(&kafka.read(topic))).assert_none(what);
    }
}

#[test]
fn workers_that_stand_by_take_over_when_they_are_asked_or_nobody_is_left() {
    let Some(kafka) = Kafka::apache("standby") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 11), Windows::tumbling(1_000));
    let mut send = |count| feed.send(count, |event| windows.add(event));
    let stand_by = |generation, replicas| -> Vec<Millrace> {
        let start = |ordinal| workers.start_with(generation, ordinal, replicas, &["--standby", "3600"]);
        (0..replicas).map(start).collect()
    };
    let stands_by = |worker: &Millrace| {
        worker.until_status("it to stand by", |status| (status["phase"] == "StandingBy").then_some(()));
    };
    // There is nobody to take over from.
    let first = stand_by(1, 1);
    first[0].wait_until_running();
    let second = stand_by(2, 2);
    second.iter().for_each(stands_by);
    send(5_000);
    first[0].until_next_commits(3);
    second.iter().for_each(stands_by);
    second.iter().for_each(|worker| assert_eq!(worker.post("/api/v1/take-over").expect("an answer").0, 202));
    first.into_iter().for_each(|worker| worker.wait().assert_code(STOOD_DOWN));
    second.iter().for_each(Millrace::wait_until_running);
    let third = stand_by(3, 3);
    third.iter().for_each(stands_by);
    send(5_000);
    second.iter().for_each(|worker| worker.until_next_commits(1));
    stop(second);
    third.iter().for_each(Millrace::wait_until_running);
    // One that stands by still when it is not needed any more.
    let fourth = stand_by(4, 1);
    fourth.iter().for_each(stands_by);
    stop(fourth);
    third.iter().for_each(|worker| worker.until_next_commits(1));
    send(5_000);
    feed.send_sentinels();
    await_windows(&kafka, &third, &to, &windows);
    stop(third);
    assert_windows(&windows, &kafka.read(&to), "the windows of three generations");
}

#[test]
fn a_worker_of_an_earlier_generation_stands_down_at_once() {
    let Some(kafka) = Kafka::apache("stand-down") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let second = workers.start_all(2, 2);
    second.iter().for_each(Millrace::wait_until_running);
    let late = workers.start_in("late", 1, 0, 1).wait();
    late.assert_code(STOOD_DOWN);
    assert!(late.log.contains("generation 2 of this job has taken over"), "{}", late.log);
    second.iter().for_each(|worker| worker.until_next_commits(1));
    stop(second);
}

#[test]
fn a_log_that_is_gone_is_never_taken_for_a_new_job() {
    let Some(kafka) = Kafka::apache("lost-log") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let running = workers.start_all(1, 1);
    running[0].wait_until_running();
    stop(running);
    for topic in kafka.own_topics().iter().filter(|topic| topic.ends_with(".log")) {
        kafka.delete(topic);
    }
    let ended = workers.start_in("without-volume", 1, 0, 1).wait();
    ended.assert_code(1);
    assert!(ended.log.contains("does not exist"), "{}", ended.log);
}
