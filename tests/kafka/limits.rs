//! A state that grows above what its job allows stops the job, and loses nothing.

use super::events::{Event, NEVER_IDLE, Windows, assert_windows, await_records, counts_per_second};
use super::harness::{Job, Kafka};

#[test]
fn a_job_whose_state_outgrows_its_limit_stops_and_goes_on_when_it_is_raised() {
    let Some(kafka) = Kafka::apache("size-limit") else { return };
    let (from, to) = (kafka.topic("events", 1), kafka.topic("counts", 1));
    let job = Job::new(&kafka, "job", &counts_per_second(&from, &to, NEVER_IDLE)).state_size_limit("16Ki");
    let producer = kafka.producer();
    let events: Vec<Event> = (0..20_000).map(|n| Event::new(n, &format!("key {n}"), n as i64, 0)).collect();
    events.iter().for_each(|event| producer.send(&from, 0, None, &event.json()));
    producer.flush();
    for _ in 0..2 {
        let ended = job.start().wait();
        ended.assert_code(2);
        assert!(ended.log.contains("spec.state.sizeLimit allows 16384"), "{}", ended.log);
    }

    let job = job.state_size_limit("1Gi");
    producer.send(&from, 0, None, &Event::sentinel(3_600_000).json());
    producer.flush();
    let windows = Windows::tumbling(1_000).of(&events);
    let millrace = job.start();
    await_records(&kafka, &millrace, &to, windows.rows().len());
    let state = millrace.until_status("the size of the state", |status| {
        let state = &status["state"];
        state["bytes"].as_u64().is_some().then(|| state.clone())
    });
    assert_eq!(state["nearLimit"], false, "{state}");
    millrace.stop().assert_code(0);
    assert_windows(&windows, &kafka.read(&to), "the windows, each once");
}
