//! The job's workers as processes, its brokers, and the proxy between the two: the cluster that suffers.

use super::SOURCE_PARTITIONS;
use super::audit::Audit;
use super::brokers::Brokers;
use super::chaos::{Cluster, Held, Left, Moment, REPLICAS, Survivor, Took};
use super::feed::Feed;
use super::job::TRANSACTION_TIMEOUT;
use super::launch::{Launch, Place, STOOD_DOWN, WAITING};
use crate::kafka::harness::proxy::Times;
use crate::kafka::harness::{Kafka, Millrace, PATIENCE, Proxy, SavepointByHand};
use millrace_broker::ApiKey;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The coordinator looks for transactions whose time is over once a second.
const AFTER_TIMEOUT: Duration = Duration::from_secs(4);

struct Worker {
    place: Place,
    volume: PathBuf,
    millrace: Millrace,
}

pub(super) struct Workers<'a> {
    launch: Launch,
    workers: Vec<Worker>,
    generation: u32,
    /// Numbers volumes that don't belong to an ordinal for good.
    volumes: u32,
    /// Savepoints that were begun and left.
    left: u32,
    kafka: &'a Kafka,
    brokers: &'a Brokers,
    proxy: &'a Proxy,
    feed: &'a Feed,
    audit: &'a Audit,
}

impl<'a> Workers<'a> {
    pub(super) fn start(
        kafka: &'a Kafka,
        brokers: &'a Brokers,
        proxy: &'a Proxy,
        feed: &'a Feed,
        audit: &'a Audit,
    ) -> Self {
        let launch = Launch::new(proxy.address());
        let mut workers = Self {
            launch,
            workers: Vec::new(),
            generation: 1,
            volumes: 0,
            left: 0,
            kafka,
            brokers,
            proxy,
            feed,
            audit,
        };
        workers.workers = workers.start_generation(REPLICAS, Vec::new());
        workers
    }

    /// Starts all workers of the current generation. The first have these volumes.
    fn start_generation(&mut self, replicas: u32, volumes: Vec<PathBuf>) -> Vec<Worker> {
        let mut volumes = volumes.into_iter();
        let start = |ordinal| {
            let volume = volumes.next().unwrap_or_else(|| self.new_volume());
            let place = Place { generation: self.generation, ordinal, replicas };
            Worker { place, millrace: self.launch.start(place, &volume), volume }
        };
        (0..replicas).map(start).collect()
    }

    fn new_volume(&mut self) -> PathBuf {
        self.volumes += 1;
        self.launch.volume(&self.volumes.to_string())
    }

    /// The place of the worker with this ordinal, if there are so many.
    fn at(&self, ordinal: u32) -> usize {
        ordinal as usize % self.workers.len()
    }

    /// Kills a worker at its moment and starts it again, with what `between` leaves of its volume.
    fn kill_and_restart(
        &mut self,
        ordinal: u32,
        moment: Moment,
        between: impl FnOnce(&Launch, &Worker) -> Took,
    ) -> Took {
        let at = self.at(ordinal);
        let millrace = &self.workers[at].millrace;
        match moment {
            Moment::Working(after) => {
                millrace.wait_until_running();
                millrace.pause(after);
            }
            Moment::Committed(after) => {
                millrace.wait_until_running();
                millrace.until_next_commits(0);
                millrace.pause(after);
            }
            Moment::Starting(after) => {
                self.replace(at);
                self.workers[at].millrace.pause(after);
            }
        }
        self.die(at);
        let took = between(&self.launch, &self.workers[at]);
        self.live(at);
        took
    }

    /// `kill -9`, and a new process on the same volume.
    fn replace(&mut self, at: usize) {
        self.die(at);
        self.live(at);
    }

    fn die(&mut self, at: usize) {
        let Worker { place, millrace, .. } = &mut self.workers[at];
        assert!(!millrace.has_ended(), "{place:?} ended before it was killed; its log:\n{}", millrace.log());
        millrace.kill_now();
    }

    fn live(&mut self, at: usize) {
        let Worker { place, volume, .. } = &self.workers[at];
        let millrace = self.launch.start(*place, volume);
        self.workers[at].millrace = millrace;
    }

    /// Puts a worker into the place of the one that has it; what had it is returned.
    fn give_place(&mut self, at: usize, millrace: Millrace, volume: PathBuf) -> Millrace {
        self.workers[at].volume = volume;
        std::mem::replace(&mut self.workers[at].millrace, millrace)
    }

    /// A second process for a worker's place, with a volume of its own.
    fn second(&mut self, at: usize) -> (Millrace, PathBuf) {
        let volume = self.new_volume();
        (self.launch.start(self.workers[at].place, &volume), volume)
    }

    /// Begins a savepoint with which the job is to stop, and leaves it. As the operator does that comes next, the workers
    /// are told to let go of it, and who has stopped by then is started again.
    fn leave_savepoint(&mut self, left: Left) {
        self.left += 1;
        let (id, to) = (format!("left-{}", self.left), self.launch.savepoints());
        let by_hand = SavepointByHand::new(self.workers.iter().map(|worker| &worker.millrace), &id);
        by_hand.pause(SOURCE_PARTITIONS);
        let held = left != Left::Paused;
        if held {
            by_hand.hold();
        }
        let written = (held && left != Left::Held).then(|| by_hand.write(&to));
        if let Some(tasks) = written.filter(|_| left != Left::Written) {
            by_hand.publish(&to, &tasks);
        }
        let Left::Stopping { ordinal } = left else { return by_hand.abandon() };
        let at = self.at(ordinal);
        by_hand.stop(at);
        by_hand.abandon();
        let worker = &self.workers[at].millrace;
        worker.until("it to stop", || worker.has_ended().then_some(()));
        self.live(at);
    }

    /// Stops all workers in order.
    pub(super) fn stop(self) {
        self.workers.iter().for_each(|worker| worker.millrace.signal("TERM"));
        self.workers.into_iter().for_each(|worker| worker.millrace.wait().assert_code(0));
    }
}

fn count(millrace: &Millrace, name: &str) -> u64 {
    millrace.status().and_then(|status| status[name].as_u64()).unwrap_or(0)
}

impl Cluster for Workers<'_> {
    fn until_commits(&mut self) -> Result<(), String> {
        assert!(!self.feed.has_ended(), "the feed has failed");
        assert!(!self.audit.has_ended(), "the audit has failed");
        let end = Instant::now() + PATIENCE;
        // Counted from now on for all, or they would be waited for one after the other.
        let before: Vec<u64> = self.workers.iter().map(|worker| count(&worker.millrace, "commits")).collect();
        for (worker, before) in self.workers.iter().zip(before) {
            // The next one may have ended its epoch already.
            let committed = || (count(&worker.millrace, "commits") > before + 1).then_some(());
            let left = end.saturating_duration_since(Instant::now());
            if worker.millrace.try_until(left, committed).is_none() {
                let Worker { place, millrace, .. } = worker;
                return Err(format!("waited {PATIENCE:?} for {place:?} to commit; its log:\n{}", millrace.log()));
            }
        }
        Ok(())
    }

    fn kill(&mut self, ordinal: u32, moment: Moment) -> Took {
        self.kill_and_restart(ordinal, moment, |_, _| Ok(()))
    }

    fn lose_volume(&mut self, ordinal: u32, moment: Moment) -> Took {
        self.kill_and_restart(ordinal, moment, |launch, worker| {
            launch.lose(&worker.volume).then_some(()).ok_or_else(|| "there was nothing on the volume".to_owned())
        })
    }

    fn freeze(&mut self, ordinal: u32, replaced: bool) -> Took {
        let at = self.at(ordinal);
        let millrace = &self.workers[at].millrace;
        millrace.until_next_commits(0);
        let restarts = count(millrace, "restarts");
        millrace.signal("STOP");
        let until = Instant::now() + TRANSACTION_TIMEOUT + AFTER_TIMEOUT;
        if !replaced {
            millrace.pause(until.saturating_duration_since(Instant::now()));
            assert!(millrace.is_stopped(), "something else has woken it");
            millrace.signal("CONT");
            self.until_commits()?;
            let more = count(&self.workers[at].millrace, "restarts") > restarts;
            return more.then_some(()).ok_or_else(|| "it had no transaction whose time could be over".to_owned());
        }
        let (second, volume) = self.second(at);
        let first = self.give_place(at, second, volume);
        self.until_commits()?;
        first.pause(until.saturating_duration_since(Instant::now()));
        assert!(first.is_stopped(), "something else has woken it");
        first.signal("CONT");
        let gave_way = || (first.has_ended() || first.log().contains(WAITING)).then_some(());
        let took = first.try_until_or_end(PATIENCE, gave_way);
        took.ok_or_else(|| format!("it did not notice that its place is taken; its log:\n{}", first.log()))
    }

    fn kill_broker(&mut self, node: u32) -> Took {
        let begun = Instant::now();
        self.brokers.kill(node);
        let committed = self.until_commits();
        let without = begun.elapsed().as_secs_f64();
        // Also where the job did not go on: the next fault finds the brokers as this one did.
        self.brokers.restart(node, self.kafka);
        let again = begun.elapsed().as_secs_f64();
        println!("torture: commits without node {node} after {without:.1} s, with it in sync after {again:.1} s");
        committed
    }

    fn rescale(&mut self, replicas: u32, graceful: bool) -> Took {
        self.generation += 1;
        let old = std::mem::take(&mut self.workers);
        let mut volumes = Vec::new();
        if graceful {
            old.iter().for_each(|worker| worker.millrace.signal("TERM"));
            for worker in old {
                worker.millrace.wait().assert_code(0);
                volumes.push(worker.volume);
            }
            self.workers = self.start_generation(replicas, volumes);
        } else {
            // Two processes can't have one volume: the new ones have their own.
            self.workers = self.start_generation(replicas, volumes);
            old.into_iter().for_each(|worker| worker.millrace.wait().assert_code(STOOD_DOWN));
        }
        self.until_commits()
    }

    fn start_twin(&mut self, ordinal: u32, survivor: Survivor) -> Took {
        let at = self.at(ordinal);
        self.workers[at].millrace.wait_until_running();
        let (second, volume) = self.second(at);
        let first = &self.workers[at].millrace;
        let met = || (second.log().contains(WAITING) || first.log().contains(WAITING)).then_some(());
        let took = second.try_until(PATIENCE, met).ok_or_else(|| "none of the two noticed the other".to_owned());
        match survivor {
            Survivor::First => second.kill(),
            Survivor::Second => self.give_place(at, second, volume).kill(),
        }
        took
    }

    fn hold_commit(&mut self, held: Held) -> Took {
        let hold = self.proxy.faults().hold(ApiKey::EndTxn, Times::Next(1));
        let caught = hold.caught(1, PATIENCE);
        let id = caught.first().and_then(|effect| effect.transactional_id.clone()).ok_or("no transaction ended")?;
        let ordinal = id.rsplit('.').next().and_then(|ordinal| ordinal.parse::<u32>().ok());
        let at = self.at(ordinal.ok_or_else(|| format!("{id} names no ordinal"))?);
        match held {
            Held::Late(time) => self.workers[at].millrace.pause(time),
            Held::AfterDeath => {
                self.replace(at);
                self.until_commits()?;
            }
        }
        let effects = hold.release(PATIENCE);
        let arrived = |effect: &&crate::kafka::harness::proxy::Effect| {
            effect.took && (matches!(held, Held::Late(_)) || effect.client_gone)
        };
        let arrived = effects.iter().find(arrived);
        arrived.map(|_| ()).ok_or_else(|| format!("it did not arrive as it had to: {effects:?}"))
    }

    fn upgrade(&mut self, replicas: u32, left: Option<Left>) -> Took {
        if let Some(left) = left {
            self.leave_savepoint(left);
            self.until_commits()?;
        }
        let urls: Vec<String> = self.workers.iter().filter_map(|worker| worker.millrace.address()).collect();
        let urls = urls.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(",");
        let to = self.launch.savepoints();
        let made = Millrace::start(["savepoint", "create", "--stop", "--workers", &urls, "--to", &to]).wait();
        if made.status.code() != Some(0) {
            return Err(format!("no savepoint: {}", made.log));
        }
        let old = std::mem::take(&mut self.workers);
        old.into_iter().for_each(|worker| worker.millrace.wait().assert_code(0));
        self.launch.replace(made.stdout.trim());
        self.generation = 1;
        self.workers = self.start_generation(replicas, Vec::new());
        self.until_commits()
    }
}
