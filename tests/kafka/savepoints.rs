//! Savepoints of running jobs, and jobs that start from them: with other numbers of tasks and workers, and with other
//! statements. What comes out is what a job without a savepoint in between writes.

use super::events::{
    Difference, Feed, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second, window_rows,
};
use super::harness::{Job, Kafka, Millrace, OwnBroker, Random, SavepointByHand, Workers};
use super::join::{TOPICS, found, join, pairs};
use std::process::Command;

/// Asks the workers for a savepoint; where it is, or why there is none.
fn savepoint(workers: &[Millrace], further: &[&str]) -> Result<String, String> {
    let urls: Vec<String> =
        workers.iter().map(|worker| format!("http://{}", worker.until("the address", || worker.address()))).collect();
    let mut arguments = vec!["savepoint", "create", "--workers"];
    let urls = urls.join(",");
    arguments.push(&urls);
    arguments.extend(further);
    let ended = Millrace::start(arguments).wait();
    match ended.status.code() {
        Some(0) => Ok(ended.stdout.trim().to_owned()),
        _ => Err(ended.log),
    }
}

/// Stops all workers at once; each commits what it has first.
fn stop_all(workers: Vec<Millrace>) {
    workers.iter().for_each(|worker| worker.signal("TERM"));
    workers.into_iter().for_each(|worker| worker.wait().assert_code(0));
}

fn inspect(arguments: &[&str]) -> String {
    let ended = Millrace::start(["savepoint", "inspect"].iter().chain(arguments)).wait();
    ended.assert_code(0);
    ended.stdout
}

#[test]
fn a_join_goes_on_from_a_savepoint_with_twice_the_tasks_and_three_workers() {
    let own = OwnBroker::start(&TOPICS);
    let mut random = Random::seeded("savepoint of a join");
    let sql = join("TUMBLE", "INTERVAL '1' SECOND", NEVER_IDLE);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut left_feed = Feed::new(&own.kafka, "left", random.next());
    let mut right_feed = Feed::new(&own.kafka, "right", random.next());
    let mut feed = |left_feed: &mut Feed, right_feed: &mut Feed| {
        left_feed.send(3_000, |event| left.push(event.clone()));
        right_feed.send(3_000, |event| right.push(event.clone()));
    };

    let first = Job::new(&own.kafka, "job", &sql).parallelism(4);
    let workers = Workers::create(&first);
    let running = workers.start_all(1, 1);
    feed(&mut left_feed, &mut right_feed);
    await_records(&own.kafka, &running[0], "joined", 1);
    let folder = first.folder().join("savepoints").display().to_string();
    let location = savepoint(&running, &["--to", &folder, "--stop"]).expect("a savepoint");
    running.into_iter().for_each(|worker| worker.wait().assert_code(0));
    read_with_other_tools(&location);

    let second = Job::new(&own.kafka, "job", &sql).parallelism(8);
    let replaced = workers.file().display().to_string();
    let workers = Workers::create_with(&second, &["--restore-from", &location, "--replaces", &replaced]);
    let running = workers.start_all(1, 3);
    running.iter().for_each(Millrace::wait_until_running);
    feed(&mut left_feed, &mut right_feed);
    left_feed.send_sentinels();
    right_feed.send_sentinels();
    let expected = pairs((1_000, 1_000), &left, &right, |_| true);
    assert!(expected.len() > 500, "few pairs: {}", expected.len());
    await_records(&own.kafka, &running[0], "joined", expected.len());
    stop_all(running);
    Difference::between(&expected, found(&own.kafka.read("joined"))).assert_none("pairs");
    drop((left_feed, right_feed));
    own.stop();
}

/// Every file of the savepoint has as many rows for DuckDB as its manifest says, and columns that mean something.
fn read_with_other_tools(location: &str) {
    let Some(python) = std::env::var_os("MILLRACE_PYTHON") else {
        assert_ne!(std::env::var("MILLRACE_REQUIRE_KAFKA").as_deref(), Ok("1"), "MILLRACE_PYTHON has to be set");
        return;
    };
    let script = "kafka/read_savepoint.py";
    let output = Command::new(python).args([script, location]).output().expect("python runs");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("left-rows") && said.contains("cursor"), "{said}");
}

#[test]
fn results_are_committed_before_a_savepoint_is_written_which_knows_nothing_of_them() {
    let own = OwnBroker::start(&[]);
    let kafka = &own.kafka;
    let (from, to, copied) = (kafka.topic("events", 4), kafka.topic("counts", 2), kafka.topic("copied", 2));
    let job = Job::new(kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let running = workers.start_all(1, 2);
    let (mut feed, mut windows) = (Feed::new(kafka, &from, 5), Windows::tumbling(1_000));
    feed.send(10_000, |event| windows.add(event));
    await_records(kafka, &running[0], &to, 1);
    let by_hand = SavepointByHand::new(&running, "by-hand");
    by_hand.pause(4);
    by_hand.hold();
    let before = window_rows(&kafka.read(&to));
    by_hand.resume();
    feed.send(10_000, |event| windows.add(event));
    feed.send_sentinels();
    let (mut reader, mut records, expected) = (kafka.reader(&to), Vec::new(), windows.rows());
    running[0].until("the results of the job that goes on", || {
        // Whoever asks still wants what is held.
        by_hand.ask_again();
        records.extend(reader.poll());
        (records.len() >= expected.len()).then_some(())
    });
    let folder = job.folder().join("savepoints").display().to_string();
    let location = by_hand.publish(&folder, &by_hand.write(&folder));
    running[0].until_status("the savepoint to be over", |status| status["savepoint"].is_null().then_some(()));
    stop_all(running);
    assert_windows(&windows, &kafka.read(&to), "the windows of the job that went on");

    // The other one writes what the first one wrote after the savepoint, and nothing else. Its statements differ in
    // the name of a topic, which no state depends on.
    let other = Job::new(kafka, "other", &counts_per_second(&from, &copied, NEVER_IDLE)).parallelism(3);
    let told = inspect(&[&location, "--against", &other.write_manifest().display().to_string()]);
    assert!(told.contains("GlobalWindowAggregate: kept") && !told.contains("dropped"), "{told}");
    let workers = Workers::create_with(&other, &["--restore-from", &location]);
    let running = workers.start_all(1, 2);
    await_records(kafka, &running[0], &copied, expected.len() - before.len());
    stop_all(running);
    let both = before.into_iter().chain(window_rows(&kafka.read(&copied)));
    Difference::between(&expected, both).assert_none("the windows before the savepoint and after it");
    own.stop();
}

#[test]
fn a_savepoint_in_a_topic_is_one_when_it_is_complete_and_until_it_is_deleted() {
    let Some(kafka) = Kafka::apache("savepoint-topic") else { return };
    let (from, to, copied) = (kafka.topic("events", 4), kafka.topic("counts", 2), kafka.topic("copied", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let running = workers.start_all(1, 3);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 11), Windows::tumbling(1_000));
    feed.send(10_000, |event| windows.add(event));
    await_records(&kafka, &running[0], &to, 1);
    let by_hand = SavepointByHand::new(&running, "torn");
    by_hand.pause(4);
    by_hand.hold();
    by_hand.write("kafka:");
    by_hand.abandon();
    let location = savepoint(&running, &["--stop"]).expect("a savepoint");
    running.into_iter().for_each(|worker| worker.wait().assert_code(0));
    let (topic, torn) = (location.strip_prefix("kafka:").expect("a topic"), kafka.own_topics());
    let torn = torn.iter().find(|topic| topic.ends_with(".sp.torn")).expect("what was begun").as_str();

    let place = |topic: &str| [format!("kafka:{topic}"), "--kafka".to_owned(), kafka.bootstrap().to_owned()];
    let asked = |command: &str, topic: &str| {
        Millrace::start(["savepoint", command].map(str::to_owned).into_iter().chain(place(topic))).wait()
    };
    let told = asked("inspect", topic);
    told.assert_code(0);
    assert!(told.stdout.contains("GlobalWindowAggregate") && told.stdout.contains("goes on at"), "{}", told.stdout);
    let other = Job::new(&kafka, "other", &counts_per_second(&from, &copied, NEVER_IDLE)).parallelism(3);
    let refused = other.start_in("state", &["--restore-from", &format!("kafka:{torn}")]).wait();
    refused.assert_code(2);
    assert!(refused.log.contains("was not completed"), "{}", refused.log);

    let before = window_rows(&kafka.read(&to));
    feed.send(10_000, |event| windows.add(event));
    feed.send_sentinels();
    let running = other.start_in("state", &["--restore-from", &location]);
    await_records(&kafka, &running, &copied, windows.rows().len() - before.len());
    running.stop().assert_code(0);
    let both = before.into_iter().chain(window_rows(&kafka.read(&copied)));
    Difference::between(&windows.rows(), both).assert_none("the windows before the savepoint and after it");

    for topic in [topic, torn] {
        asked("delete", topic).assert_code(0);
        let gone = asked("inspect", topic);
        gone.assert_code(2);
        assert!(gone.log.contains("there is no topic"), "{}", gone.log);
    }
    let refused = asked("delete", &kafka.topic("mine", 1));
    refused.assert_code(2);
    assert!(refused.log.contains("is no savepoint's topic"), "{}", refused.log);
}

#[test]
fn an_incarnation_that_was_replaced_never_writes_again_and_one_that_went_on_is_not_replaced() {
    let Some(kafka) = Kafka::apache("succession") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("counts", 2));
    let sql = counts_per_second(&from, &to, NEVER_IDLE);
    let first = Job::new(&kafka, "job", &sql);
    let earlier = Workers::create(&first);
    let running = earlier.start_all(1, 2);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 7), Windows::tumbling(1_000));
    feed.send(5_000, |event| windows.add(event));
    await_records(&kafka, &running[0], &to, 1);
    let folder = first.folder().join("savepoints").display().to_string();
    let before = savepoint(&running, &["--to", &folder]).expect("a savepoint");
    feed.send(5_000, |event| windows.add(event));
    running[0].until_status("the events to be read", |status| (status["lag"] == 0).then_some(()));
    let last = savepoint(&running, &["--to", &folder, "--stop"]).expect("a savepoint");
    running.into_iter().for_each(|worker| worker.wait().assert_code(0));
    let replaced = earlier.file().display().to_string();

    // What the first one wrote after the earlier savepoint would be written again.
    let wrong = Job::new(&kafka, "job", &sql);
    let workers = Workers::create_with(&wrong, &["--restore-from", &before, "--replaces", &replaced]);
    let ended = workers.start(1, 0, 1).wait();
    ended.assert_code(1);
    assert!(ended.log.contains("has read on after the savepoint"), "{}", ended.log);
    // That was seen before anything was ended.
    let running = earlier.start_all(2, 2);
    running.iter().for_each(Millrace::wait_until_running);
    stop_all(running);

    let second = Job::new(&kafka, "job", &sql);
    let (_, refused) = Workers::try_create(&second, &["--restore-from", &last, "--replaces", &replaced]);
    refused.assert_code(2);
    assert!(refused.log.contains("incarnation 2 of this job has been created already"), "{}", refused.log);
    let replaced = workers.file().display().to_string();
    let workers = Workers::create_with(&second, &["--restore-from", &last, "--replaces", &replaced]);
    let mut running = workers.start_all(1, 3);
    running.iter().for_each(Millrace::wait_until_running);
    // What has ended is not ended once more by a worker that has to begin from the savepoint again.
    let ended = || {
        let logs =
            kafka.own_topics().into_iter().filter(|topic| topic.ends_with(".1.log") || topic.ends_with(".2.log"));
        logs.map(|log| (kafka.ends(&log), log)).collect::<Vec<_>>()
    };
    let before = ended();
    assert_eq!(before.len(), 2);
    running.remove(0).kill();
    running.insert(0, workers.start_in("new", 1, 0, 3));
    running[0].wait_until_running();
    assert_eq!(ended(), before);
    // A pod of the first one that comes back has nothing to do any more.
    let late = earlier.start(2, 0, 2).wait();
    late.assert_code(3);
    assert!(late.log.contains("a later incarnation of this job has taken its place"), "{}", late.log);
    feed.send(5_000, |event| windows.add(event));
    feed.send_sentinels();
    await_records(&kafka, &running[0], &to, windows.rows().len());
    stop_all(running);
    assert_windows(&windows, &kafka.read(&to), "the windows of both incarnations");
}

#[test]
fn a_worker_that_has_stopped_with_a_savepoint_stays_stopped_when_its_process_is_started_again() {
    let own = OwnBroker::start(&[]);
    let (from, to) = (own.kafka.topic("events", 2), own.kafka.topic("counts", 2));
    let job = Job::new(&own.kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let note = job.folder().join("stopped");
    let start = || workers.start_with(1, 0, 1, &["--linger", "--stopped-file", &note.display().to_string()]);
    let stopped = |worker: &Millrace| {
        worker.until_status("the worker to have stopped", |status| (status["phase"] == "Stopped").then_some(()));
    };
    let running = [start()];
    let (mut feed, mut windows) = (Feed::new(&own.kafka, &from, 3), Windows::tumbling(1_000));
    feed.send(2_000, |event| windows.add(event));
    await_records(&own.kafka, &running[0], &to, 1);
    savepoint(&running, &["--to", &job.folder().display().to_string(), "--stop"]).expect("a savepoint");
    stopped(&running[0]);
    running.into_iter().for_each(Millrace::kill);
    let written = own.kafka.read(&to).len();
    feed.send(2_000, |event| windows.add(event));
    feed.send_sentinels();
    let again = start();
    stopped(&again);
    assert!(!again.log().contains("restored"), "it does not take its tasks: {}", again.log());
    assert_eq!(own.kafka.read(&to).len(), written);
    again.stop().assert_code(0);

    // Whoever wants it to run takes the note away.
    std::fs::remove_file(&note).expect("it is there");
    let again = start();
    await_records(&own.kafka, &again, &to, windows.rows().len());
    again.stop().assert_code(0);
    assert_windows(&windows, &own.kafka.read(&to), "the windows");
    drop(feed);
    own.stop();
}

#[test]
fn a_worker_that_dies_while_it_stands_still_ends_the_savepoint_and_nothing_else() {
    let Some(kafka) = Kafka::apache("savepoint-kill") else { return };
    let (from, to) = (kafka.topic("events", 4), kafka.topic("counts", 2));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE));
    let workers = Workers::create(&job);
    let mut running = workers.start_all(1, 2);
    let (mut feed, mut windows) = (Feed::new(&kafka, &from, 9), Windows::tumbling(1_000));
    feed.send(5_000, |event| windows.add(event));
    await_records(&kafka, &running[0], &to, 1);

    let paused = |worker: &Millrace| {
        worker.until("it to stand still", || {
            let (code, body) = worker.post("/api/v1/savepoints/by-hand/pause")?;
            assert_eq!(code, 200, "{body}");
            let cut: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            (cut["paused"] == true).then_some(())
        });
    };
    running.iter().for_each(paused);
    assert_eq!(running[0].status().expect("it serves it")["savepoint"], "by-hand");
    running.remove(1).kill();
    running.push(workers.start(1, 1, 2));
    running[1].wait_until_running();
    let (code, body) = running[1].post("/api/v1/savepoints/by-hand/stop").expect("an answer");
    assert_eq!(code, 409, "it knows nothing of the savepoint any more: {body}");
    let (code, body) = running[0].post("/api/v1/savepoints/another/pause").expect("an answer");
    assert!(code == 409 && body.contains("by-hand"), "{body}");
    let refused = savepoint(&running, &["--to", "/nowhere/x"]).expect_err("the first worker is held");
    assert!(refused.contains("by-hand is being made"), "{refused}");
    assert_eq!(running[0].post("/api/v1/savepoints/by-hand/resume").expect("an answer").0, 204);

    feed.send(5_000, |event| windows.add(event));
    feed.send_sentinels();
    await_records(&kafka, &running[0], &to, windows.rows().len());
    let half =
        savepoint(&running[..1], &["--to", &job.folder().display().to_string()]).expect_err("a worker is missing");
    assert!(half.contains("every worker of the job has to take part"), "{half}");
    stop_all(running);
    assert_windows(&windows, &kafka.read(&to), "the windows");
}

#[test]
fn a_plan_that_would_lose_state_is_refused_before_anything_is_made() {
    let Some(kafka) = Kafka::apache("savepoint-plan") else { return };
    let (from, to) = (kafka.topic("events", 2), kafka.topic("counts", 2));
    let sql = counts_per_second(&from, &to, NEVER_IDLE);
    let job = Job::new(&kafka, "job", &sql);
    let running = Workers::create(&job).start_all(1, 1);
    let mut feed = Feed::new(&kafka, &from, 3);
    feed.send(5_000, |_| {});
    await_records(&kafka, &running[0], &to, 1);
    let location =
        savepoint(&running, &["--to", &job.folder().join("saved").display().to_string(), "--stop"]).expect("one");
    running.into_iter().for_each(|worker| worker.wait().assert_code(0));

    let changed = Job::new(&kafka, "changed", &sql.replace("INTERVAL '1' SECOND)", "INTERVAL '7' SECOND)"));
    let (file, ended) = Workers::try_create(&changed, &["--restore-from", &location]);
    ended.assert_code(2);
    for told in ["GlobalWindowAggregate: dropped", "GlobalWindowAggregate: rebuilt", ".events: kept"] {
        assert!(ended.log.contains(told), "{told}: {}", ended.log);
    }
    assert!(ended.log.contains("--allow-non-restored-state") && !file.exists(), "{}", ended.log);
    let (_, ended) = Workers::try_create(&changed, &["--restore-from", &location, "--allow-non-restored-state"]);
    ended.assert_code(0);
    let nowhere = Job::new(&kafka, "nowhere", &sql);
    let (_, ended) = Workers::try_create(&nowhere, &["--restore-from", &format!("{location}-not")]);
    ended.assert_code(2);
    assert!(ended.log.contains("there is no directory"), "{}", ended.log);
}
