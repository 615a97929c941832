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

const HOLD: [Effect; 2] = [Effect::Hold { worker: 0 }, Effect::Hold { worker: 1 }];
const WRITE: [Effect; 2] = [Effect::Write { worker: 0 }, Effect::Write { worker: 1 }];
const RESUME: [Effect; 2] = [Effect::Resume { worker: 0 }, Effect::Resume { worker: 1 }];

fn held(worker: usize, cut: WorkerCut) -> Event {
    Event::Held { worker, cut }
}

/// Two workers that stand still, up to the request to hold their tasks.
fn holding(stop: bool) -> SavepointMachine {
    let (mut machine, _) = SavepointMachine::new(2, stop, DEADLINE);
    machine.step(told(0, cut("a", true, vec![task(0, 1, 5, 3)])), Duration::ZERO);
    let effects = machine.step(told(1, cut("b", true, vec![task(1, 0, 3, 5)])), Duration::ZERO);
    assert_eq!(effects, HOLD);
    machine
}

/// The same up to the request to write.
fn writing(stop: bool) -> SavepointMachine {
    let mut machine = holding(stop);
    assert_eq!(machine.step(held(1, cut("b", true, vec![task(1, 0, 3, 5)])), Duration::ZERO), []);
    let effects = machine.step(held(0, cut("a", true, vec![task(0, 1, 5, 3)])), Duration::ZERO);
    assert_eq!(effects, if stop { WRITE.to_vec() } else { [WRITE, RESUME].concat() });
    machine
}

fn abandoned(effects: &[Effect]) -> &str {
    let [Effect::Abandon { worker: 0 }, Effect::Abandon { worker: 1 }, Effect::Abandoned { why }] = effects else {
        panic!("{effects:?}")
    };
    why
}

#[test]
fn nothing_is_held_before_all_stand_still_and_have_received_everything() {
    let (mut machine, effects) = SavepointMachine::new(2, false, DEADLINE);
    assert_eq!(effects, [Effect::Ask { worker: 0 }, Effect::Ask { worker: 1 }]);
    let mut tell = |worker, cut| machine.step(told(worker, cut), Duration::ZERO);
    assert_eq!(tell(0, cut("a", true, vec![task(0, 1, 5, 3)])), []);
    assert_eq!(tell(1, cut("b", false, Vec::new())), []);
    assert_eq!(tell(1, cut("b", true, vec![task(1, 0, 3, 4)])), []);
    assert_eq!(tell(1, cut("b", true, vec![task(1, 0, 3, 5)])).len(), 2);
}

#[test]
fn what_belongs_together_is_published_and_workers_that_are_to_stop_do_so_then() {
    for stop in [false, true] {
        let mut machine = writing(stop);
        let first = Event::Written { worker: 1, part: part("b", task(1, 0, 3, 5)) };
        assert_eq!(machine.step(first, Duration::ZERO), []);
        let second = Event::Written { worker: 0, part: part("a", task(0, 1, 5, 3)) };
        let effects = machine.step(second, Duration::ZERO);
        let [Effect::Publish { parts }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(parts.iter().map(|p| p.cut.task).collect::<Vec<_>>(), [0, 1]);
        let asked = machine.step(Event::Tick, DEADLINE);
        assert_eq!(asked.len(), if stop { 2 } else { 0 }, "who is to stop must not go on meanwhile: {asked:?}");
        let stops = [Effect::Stop { worker: 0 }, Effect::Stop { worker: 1 }];
        let expected = stops.into_iter().filter(|_| stop).chain([Effect::Done]);
        assert_eq!(machine.step(Event::Published, Duration::ZERO), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_worker_that_starts_again_while_the_manifest_is_written_is_not_told_to_stop_with_it() {
    let restarted = told(1, cut("b2", true, vec![task(1, 0, 3, 5)]));
    let not_still_yet = told(1, cut("b2", false, Vec::new()));
    let unheard = Event::NotTold { worker: 1, why: "it starts again".into() };
    for event in [restarted, not_still_yet, unheard] {
        let publishing = |stop| {
            let mut machine = writing(stop);
            machine.step(Event::Written { worker: 1, part: part("b", task(1, 0, 3, 5)) }, Duration::ZERO);
            machine.step(Event::Written { worker: 0, part: part("a", task(0, 1, 5, 3)) }, Duration::ZERO);
            machine
        };
        let mut machine = publishing(true);
        assert_eq!(machine.step(event.clone(), Duration::ZERO), [], "the manifest may be there already");
        let stands_still = told(1, cut("b2", true, vec![task(1, 0, 3, 5)]));
        assert_eq!(machine.step(stands_still, Duration::ZERO), []);
        assert!(abandoned(&machine.step(Event::Published, Duration::ZERO)).contains("must not be used"));
        let mut machine = publishing(false);
        machine.step(event, Duration::ZERO);
        assert_eq!(machine.step(Event::Published, Duration::ZERO), [Effect::Done], "these go on anyway");
    }
}

#[test]
fn workers_that_go_on_are_not_asked_any_more_and_may_say_what_they_like() {
    let mut machine = writing(false);
    assert_eq!(machine.step(Event::Tick, Duration::ZERO), []);
    assert_eq!(machine.step(told(0, cut("a", false, Vec::new())), Duration::ZERO), []);
    assert_eq!(machine.step(Event::NotTold { worker: 1, why: "it has gone on".into() }, Duration::ZERO), []);
    let mut machine = writing(true);
    assert_eq!(machine.step(Event::Tick, Duration::ZERO).len(), 2, "these do not go on");
    assert!(abandoned(&machine.step(told(0, cut("a", false, Vec::new())), Duration::ZERO)).contains("gone on"));
}

#[test]
fn a_worker_that_starts_again_fails_or_is_too_slow_ends_it_and_all_go_on() {
    let restarted = Event::Written { worker: 0, part: part("a2", task(0, 1, 5, 3)) };
    let another = Event::Written { worker: 0, part: part("a", task(0, 1, 6, 3)) };
    let failed = Event::Failed { worker: 1, why: "the connection was refused".into() };
    for (event, now, expected) in [
        (restarted, Duration::ZERO, "something else than it held"),
        (another, Duration::ZERO, "something else than it held"),
        (failed, Duration::ZERO, "refused"),
        (Event::Tick, DEADLINE, "waited for the workers to write"),
    ] {
        for stop in [false, true] {
            let mut machine = writing(stop);
            let effects = machine.step(event.clone(), now);
            assert!(abandoned(&effects).contains(expected), "{effects:?}");
            assert_eq!(machine.step(Event::Published, now), [], "it is over");
        }
    }
}

#[test]
fn what_does_not_belong_together_is_not_written() {
    let more_sent = held(0, cut("a", true, vec![task(0, 1, 6, 3)]));
    let restarted = held(0, cut("a2", true, vec![task(0, 1, 5, 3)]));
    let gone_on = told(0, cut("a", false, Vec::new()));
    let unheard = Event::NotTold { worker: 0, why: "it starts again".into() };
    for (event, expected) in [
        (more_sent, "does not belong together"),
        (restarted, "started again"),
        (gone_on, "gone on"),
        (unheard, "starts again"),
    ] {
        let mut machine = holding(false);
        machine.step(held(1, cut("b", true, vec![task(1, 0, 3, 5)])), Duration::ZERO);
        let effects = machine.step(event, Duration::ZERO);
        assert!(abandoned(&effects).contains(expected), "{effects:?}");
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
    /// Its task as it was when it was asked to hold it.
    held: Option<TaskCut>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize, usize),
    Commit(usize),
    Restart(usize),
    Answer(usize),
    Hold(usize),
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
        3 => (0..3usize).prop_map(Step::Hold),
        3 => (0..3usize).prop_map(Step::Write),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever the order: what is published has nothing under way, and is what the workers had committed when
    /// they held it, whatever they have done since, short of starting again.
    #[test]
    fn only_cuts_with_empty_channels_are_published(steps in steps()) {
        let mut workers = vec![ModelWorker::default(); 3];
        let (mut machine, _) = SavepointMachine::new(3, false, DEADLINE);
        let (mut asked_to_hold, mut asked_to_write) = ([false; 3], [false; 3]);
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
                    (worker.paused, worker.still, worker.held) = (false, false, None);
                    (worker.sent, worker.received) = (worker.committed_sent, worker.committed_received);
                    continue;
                }
                // Who goes on after a savepoint does not stand still for it again.
                Step::Answer(w) if !asked_to_write[w] => {
                    let worker = &mut workers[w];
                    worker.paused = true;
                    let tasks = if worker.still { vec![worker.cut(w)] } else { Vec::new() };
                    let (attempt, paused) = (worker.attempt.to_string(), worker.still);
                    told(w, WorkerCut { attempt, generation: 1, parallelism: 3, paused, tasks })
                }
                Step::Hold(w) if asked_to_hold[w] && workers[w].still => {
                    let tasks = vec![workers[w].cut(w)];
                    workers[w].held = Some(tasks[0].clone());
                    let attempt = workers[w].attempt.to_string();
                    held(w, WorkerCut { attempt, generation: 1, parallelism: 3, paused: true, tasks })
                }
                Step::Write(w) if asked_to_write[w] && workers[w].held.is_some() => {
                    let commit = Commit { claim: 0, sequence: 1, positions: Vec::new() };
                    let cut = workers[w].held.clone().expect("it holds it");
                    let attempt = workers[w].attempt.to_string();
                    let tasks = vec![TaskPart { cut, commit, files: Vec::new() }];
                    Event::Written { worker: w, part: WorkerPart { attempt, generation: 1, parallelism: 3, tasks } }
                }
                Step::Answer(_) | Step::Hold(_) | Step::Write(_) => continue,
            };
            for effect in machine.step(event, Duration::ZERO) {
                match effect {
                    Effect::Hold { worker } => asked_to_hold[worker] = true,
                    Effect::Write { worker } => asked_to_write[worker] = true,
                    Effect::Resume { worker } => (workers[worker].paused, workers[worker].still) = (false, false),
                    Effect::Publish { parts } => {
                        prop_assert_eq!(parts.len(), 3);
                        for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))) {
                            let sent = parts[from].cut.sent[&EXCHANGE][&(to as u32)];
                            prop_assert_eq!(sent, parts[to].cut.received[&EXCHANGE][&(from as u32)]);
                        }
                    }
                    Effect::Abandoned { .. } => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}
