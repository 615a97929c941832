//! The machine by example, and against model workers that send to each other, commit, start again and answer in
//! any order.

use super::*;
use proptest::prelude::*;

const DEADLINE: Duration = Duration::from_secs(60);
const EXCHANGE: u32 = 7;

fn cut(attempt: &str, paused: bool, tasks: Vec<TaskCut>) -> WorkerCut {
    WorkerCut { attempt: attempt.to_owned(), generation: 1, parallelism: 2, paused, tasks }
}

/// A task that has sent and received so many records to and from `other`.
fn task(task: u32, other: u32, sent: u64, received: u64) -> TaskCut {
    let counts = |n| BTreeMap::from([(EXCHANGE, BTreeMap::from([(other, n)]))]);
    TaskCut { task, sequence: 1, sent: counts(sent), received: counts(received) }
}

fn part(attempt: &str, cut: TaskCut) -> WorkerPart {
    let commit = Commit { claim: 0, sequence: cut.sequence, positions: Vec::new() };
    let tasks = vec![TaskPart { cut, commit, files: Vec::new() }];
    WorkerPart { attempt: attempt.to_owned(), generation: 1, parallelism: 2, tasks }
}

fn told(worker: usize, cut: WorkerCut) -> Event {
    Event::Told { worker, cut }
}

/// Two workers that stand still, up to the request to write.
fn writing(stop: bool) -> SavepointMachine {
    let (mut machine, _) = SavepointMachine::new(2, stop, DEADLINE);
    machine.step(told(0, cut("a", true, vec![task(0, 1, 5, 3)])), Duration::ZERO);
    let effects = machine.step(told(1, cut("b", true, vec![task(1, 0, 3, 5)])), Duration::ZERO);
    assert_eq!(effects, [Effect::Write { worker: 0 }, Effect::Write { worker: 1 }]);
    machine
}

#[test]
fn nothing_is_written_before_all_stand_still_and_have_received_everything() {
    let (mut machine, effects) = SavepointMachine::new(2, false, DEADLINE);
    assert_eq!(effects, [Effect::Ask { worker: 0 }, Effect::Ask { worker: 1 }]);
    let mut tell = |worker, cut| machine.step(told(worker, cut), Duration::ZERO);
    assert_eq!(tell(0, cut("a", true, vec![task(0, 1, 5, 3)])), []);
    assert_eq!(tell(1, cut("b", false, Vec::new())), []);
    assert_eq!(tell(1, cut("b", true, vec![task(1, 0, 3, 4)])), []);
    assert_eq!(tell(1, cut("b", true, vec![task(1, 0, 3, 5)])).len(), 2);
}

#[test]
fn what_belongs_together_is_published_and_the_workers_go_on_or_stop() {
    for stop in [false, true] {
        let mut machine = writing(stop);
        let first = Event::Written { worker: 1, part: part("b", task(1, 0, 3, 5)) };
        assert_eq!(machine.step(first, Duration::ZERO), []);
        let second = Event::Written { worker: 0, part: part("a", task(0, 1, 5, 3)) };
        let effects = machine.step(second, Duration::ZERO);
        let [Effect::Publish { parts }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(parts.iter().map(|p| p.cut.task).collect::<Vec<_>>(), [0, 1]);
        let then = |worker| if stop { Effect::Stop { worker } } else { Effect::Resume { worker } };
        assert_eq!(machine.step(Event::Published, Duration::ZERO), [then(0), then(1), Effect::Done]);
    }
}

#[test]
fn a_worker_that_starts_again_fails_or_is_too_slow_ends_it_and_all_go_on() {
    let restarted = Event::Written { worker: 0, part: part("a2", task(0, 1, 5, 3)) };
    let failed = Event::Failed { worker: 1, why: "the connection was refused".into() };
    let resumed = told(1, cut("b", false, Vec::new()));
    for (event, now, expected) in [
        (restarted, Duration::ZERO, "started again"),
        (failed, Duration::ZERO, "refused"),
        (resumed, Duration::ZERO, "gone on"),
        (Event::Tick, DEADLINE, "waited for the workers to write"),
    ] {
        let mut machine = writing(true);
        let effects = machine.step(event, now);
        let [Effect::Resume { worker: 0 }, Effect::Resume { worker: 1 }, Effect::Abandoned { why }] = &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert!(why.contains(expected), "{why}");
        assert_eq!(machine.step(Event::Published, now), [], "it is over");
    }
}

#[test]
fn a_job_is_saved_whole_or_not_at_all() {
    let one = task(0, 1, 0, 0);
    let missing = check(2, &[&one]).unwrap_err();
    assert!(matches!(missing, Inconsistent::Tasks(why) if why.contains("no worker has task 1")));
    let twice = check(2, &[&one, &one]).unwrap_err();
    assert!(matches!(twice, Inconsistent::Tasks(why) if why.contains("name each worker once")));
}

/// Workers of one task each, which send each other records: what is committed, and what isn't yet.
#[derive(Clone, Debug, Default)]
struct ModelWorker {
    attempt: u32,
    paused: bool,
    /// Has committed an epoch in which it stood still.
    still: bool,
    sent: [u64; 3],
    received: [u64; 3],
    committed_sent: [u64; 3],
    committed_received: [u64; 3],
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize, usize),
    Commit(usize),
    Restart(usize),
    Answer(usize),
    Write(usize),
}

impl ModelWorker {
    fn cut(&self, worker: usize) -> TaskCut {
        let counts = |n: [u64; 3]| BTreeMap::from([(EXCHANGE, (0..3).zip(n).collect::<Counts>())]);
        TaskCut {
            task: worker as u32,
            sequence: 1,
            sent: counts(self.committed_sent),
            received: counts(self.committed_received),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize, 0..3usize).prop_map(|(a, b)| Step::Send(a, b)),
        3 => (0..3usize, 0..3usize).prop_map(|(a, b)| Step::Receive(a, b)),
        4 => (0..3usize).prop_map(Step::Commit),
        1 => (0..3usize).prop_map(Step::Restart),
        4 => (0..3usize).prop_map(Step::Answer),
        3 => (0..3usize).prop_map(Step::Write),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever the order: what is published has nothing under way, and is what the workers had committed when
    /// they wrote, all under the attempt that still works then.
    #[test]
    fn only_cuts_with_empty_channels_are_published(steps in steps()) {
        let mut workers = vec![ModelWorker::default(); 3];
        let (mut machine, _) = SavepointMachine::new(3, false, DEADLINE);
        let mut asked_to_write = [false; 3];
        for step in steps {
            let event = match step {
                Step::Send(from, to) if from != to && !workers[from].paused => {
                    workers[from].sent[to] += 1;
                    continue;
                }
                Step::Receive(to, from) if workers[from].committed_sent[to] > workers[to].received[from] => {
                    workers[to].received[from] += 1;
                    continue;
                }
                Step::Send(..) | Step::Receive(..) => continue,
                Step::Commit(w) => {
                    let worker = &mut workers[w];
                    // An epoch that began before it was asked is not still yet.
                    worker.still = worker.paused;
                    (worker.committed_sent, worker.committed_received) = (worker.sent, worker.received);
                    continue;
                }
                Step::Restart(w) => {
                    let worker = &mut workers[w];
                    worker.attempt += 1;
                    (worker.paused, worker.still) = (false, false);
                    (worker.sent, worker.received) = (worker.committed_sent, worker.committed_received);
                    continue;
                }
                Step::Answer(w) => {
                    let worker = &mut workers[w];
                    worker.paused = true;
                    let tasks = if worker.still { vec![worker.cut(w)] } else { Vec::new() };
                    let (attempt, paused) = (worker.attempt.to_string(), worker.still);
                    told(w, WorkerCut { attempt, generation: 1, parallelism: 3, paused, tasks })
                }
                Step::Write(w) if asked_to_write[w] && workers[w].still => {
                    let commit = Commit { claim: 0, sequence: 1, positions: Vec::new() };
                    let tasks = vec![TaskPart { cut: workers[w].cut(w), commit, files: Vec::new() }];
                    let attempt = workers[w].attempt.to_string();
                    Event::Written { worker: w, part: WorkerPart { attempt, generation: 1, parallelism: 3, tasks } }
                }
                Step::Write(_) => continue,
            };
            for effect in machine.step(event, Duration::ZERO) {
                match effect {
                    Effect::Write { worker } => asked_to_write[worker] = true,
                    Effect::Publish { parts } => {
                        prop_assert_eq!(parts.len(), 3);
                        for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))) {
                            let sent = parts[from].cut.sent[&EXCHANGE][&(to as u32)];
                            prop_assert_eq!(sent, parts[to].cut.received[&EXCHANGE][&(from as u32)]);
                        }
                    }
                    Effect::Resume { .. } => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}
