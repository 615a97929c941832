//! The way of EndTxn requests, which are the only ones whose time of arrival decides what was committed:
//! they may be lost, lose their answers, or arrive when nobody waits for them any more.

use super::{Fault, Item, MILLISECOND, Pid, SECOND, Step, World};
use crate::log::{Micros, ProducerId, Result, Settling};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Clone, Debug)]
pub struct EndTxn {
    pub transactional_id: Rc<str>,
    pub producer: ProducerId,
    pub commit: bool,
    pub sender: Pid,
    pub request: u64,
}

/// A copy under way that arrives when somebody in the sender's place is in this step.
pub(crate) struct Held {
    pub copy: EndTxn,
    pub step: Step,
    /// The sender has its answer from another copy.
    pub over: bool,
    pub expires: Micros,
}

#[derive(Default)]
pub(crate) struct Network {
    requests: u64,
    answers: BTreeMap<u64, (Micros, Result<()>)>,
    /// Requests whose answers get lost.
    lost: BTreeSet<u64>,
    /// The step in which a process lost an answer, until it asks again.
    asks_again: BTreeMap<Pid, Step>,
    /// Transactions about which nothing is heard, and whether at least the requests arrive.
    silent: BTreeMap<ProducerId, (Step, bool)>,
    pub held: Vec<Held>,
}

impl Network {
    pub(crate) fn answer(&mut self, request: u64, now: Micros) -> Option<Result<()>> {
        let (at, _) = self.answers.get(&request)?;
        if *at > now { None } else { self.answers.remove(&request).map(|(_, answer)| answer) }
    }
}

impl World {
    /// Time that a message takes from or to a process.
    pub(crate) fn latency(&mut self, pid: Pid) -> Micros {
        let now = self.now();
        if self.strikes_call(pid, Fault::Hiccup) {
            self.processes[pid].slow_until = now + self.random.between(200, 900) * MILLISECOND;
        }
        let wait = self.processes[pid].slow_until.saturating_sub(now);
        wait + self.random.between(200, 1_500)
    }

    pub(crate) fn send_end_txn(&mut self, mut copy: EndTxn, attempt: u32) -> u64 {
        self.network.requests += 1;
        copy.request = self.network.requests;
        let (pid, request) = (copy.sender, copy.request);
        let Some(step) = self.step_of(pid) else { return request };
        if attempt > 1
            && let Some(step) = self.network.asks_again.remove(&pid)
        {
            self.took_effect(pid, Fault::LostEndTxnAnswer, step);
        }
        if self.strikes_call(pid, Fault::UnknownOutcome) {
            let arrives = self.random.one_in(2);
            self.network.silent.insert(copy.producer, (step, arrives));
        }
        if let Some((_, arrives)) = self.network.silent.get(&copy.producer) {
            self.network.lost.insert(request);
            if !arrives {
                return request;
            }
        } else if attempt == 1 && self.strikes_call(pid, Fault::LostEndTxnAnswer) {
            self.network.lost.insert(request);
            self.network.asks_again.insert(pid, step);
        } else if attempt == 1
            && let Some(step) = self.disarm(Fault::LateEndTxn, step)
        {
            let expires = self.now() + 4 * SECOND;
            self.network.held.push(Held { copy, step, over: false, expires });
            return request;
        }
        let there = self.latency(pid);
        let time = self.now() + there;
        self.at(time, Item::Arrive(copy));
        request
    }

    /// An EndTxn reaches the broker.
    pub(crate) fn arrive(&mut self, copy: &EndTxn) {
        let settling = Settling {
            // Now and then a broker takes its time, and who was answered goes on without the markers.
            first: self.random.between(200, if self.random.clone().one_in(8) { 60_000 } else { 4_000 }),
            step: self.random.between(0, if self.random.clone().one_in(4) { 20_000 } else { 1_000 }),
        };
        let now = self.now();
        let answer = self.log.end_txn(&copy.transactional_id, copy.producer, copy.commit, settling, now);
        self.event(copy.sender, "end_txn", &[i64::from(copy.commit), i64::from(answer.is_ok())]);
        if !self.network.lost.remove(&copy.request) {
            let back = self.latency(copy.sender);
            self.network.answers.insert(copy.request, (now + back, answer));
        }
    }

    pub(crate) fn end_txn_over(&mut self, pid: Pid, producer: ProducerId, known: bool) {
        self.network.asks_again.remove(&pid);
        if let Some((step, _)) = self.network.silent.remove(&producer)
            && !known
        {
            self.took_effect(pid, Fault::UnknownOutcome, step);
        }
        self.network.held.iter_mut().filter(|h| h.copy.producer == producer).for_each(|h| h.over = true);
    }

    /// A copy of an EndTxn that was under way for long may arrive now that `pid` is where it is.
    pub(crate) fn late_copies(&mut self, pid: Pid) {
        let now = self.now();
        self.network.held.retain(|held| held.expires > now);
        let process = &self.processes[pid];
        let (step, transactional_id) = (self.step_of(pid), self.transactional_id(process));
        // Who ends the logs of others has another id for that.
        let ends_logs = |h: &Held| h.step == Step::Succeed && h.copy.sender == pid;
        let own = |h: &Held| *h.copy.transactional_id == *transactional_id || ends_logs(h);
        let fits = |h: &Held| h.over && Some(h.step) == step && own(h);
        if let Some(at) = self.network.held.iter().position(fits)
            && self.random.one_in(3)
        {
            let held = self.network.held.remove(at);
            self.arrive(&held.copy);
            self.took_effect(pid, Fault::LateEndTxn, held.step);
        }
    }
}
