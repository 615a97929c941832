//! Faults that a test injects between clients and brokers: requests held, delayed, lost, answers lost,
//! connections closed; in the words of `millrace_broker::Faults`. Each request that one hits is kept with
//! what came of it: a fault that nothing came of does not count.

use kafka_protocol::messages::ApiKey;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How many requests a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// The next so many, and no more.
    Next(usize),
    /// All, until [`Faults::clear`].
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Held,
    Delayed,
    RequestDropped,
    ResponseDropped,
    ClosedBefore,
    ClosedAfter,
}

/// What became of a request that a fault has hit.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) api: ApiKey,
    pub(crate) fault: Fault,
    /// The number of the connection it came by.
    pub(crate) connection: u64,
    /// Whose transaction it ends, if that is what it does.
    pub(crate) transactional_id: Option<String>,
    /// For how long it was held, once it is no more.
    pub(crate) held: Duration,
    /// Its client did not wait: the request arrived after its connection had ended.
    pub(crate) client_gone: bool,
    /// The fault has done what it is for: the broker has answered a request that was held; an answer is
    /// lost; a connection is closed.
    pub(crate) took: bool,
    /// What the broker answered to the end of a transaction.
    pub(crate) error_code: Option<i16>,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Hold(watch::Receiver<bool>),
    Delay(Duration),
    DropRequest,
    DropResponse,
    CloseBefore,
    CloseAfter,
}

impl Action {
    fn fault(&self) -> Fault {
        match self {
            Self::Hold(_) => Fault::Held,
            Self::Delay(_) => Fault::Delayed,
            Self::DropRequest => Fault::RequestDropped,
            Self::DropResponse => Fault::ResponseDropped,
            Self::CloseBefore => Fault::ClosedBefore,
            Self::CloseAfter => Fault::ClosedAfter,
        }
    }

    /// Returns when nothing holds the request any more.
    pub(super) async fn held(&self) {
        match self {
            // An error says that the hold was dropped, which releases too.
            Self::Hold(released) => drop(released.clone().wait_for(|released| *released).await),
            Self::Delay(delay) => tokio::time::sleep(*delay).await,
            Self::DropRequest | Self::DropResponse | Self::CloseBefore | Self::CloseAfter => {}
        }
    }
}

/// What is known of a request when a fault hits it.
pub(super) struct Caught {
    pub(super) connection: u64,
    pub(super) transactional_id: Option<String>,
}

/// The place of an effect among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EffectId(usize);

#[derive(Debug, Default)]
struct Plan {
    /// With a number, by which a hold finds what is its own.
    faults: Vec<(u64, ApiKey, Action, Times)>,
    next: u64,
    seen: HashMap<ApiKey, u64>,
    /// With the number of the fault.
    effects: Vec<(u64, Effect)>,
}

#[derive(Debug, Default)]
struct Board {
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// The faults of one proxy; see [`super::Proxy::faults`].
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    board: Arc<Board>,
    /// Counts up to close every connection that was open before.
    closes: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { board: Arc::default(), closes: watch::Sender::new(0) }
    }
}

/// Holds requests until it is released or dropped.
#[derive(Debug)]
#[must_use = "dropping it lets the requests go on at once"]
pub(crate) struct Hold {
    number: u64,
    release: watch::Sender<bool>,
    faults: Faults,
}

impl Hold {
    /// Waits until it has caught so many requests; those that it has after at most `time`.
    pub(crate) fn caught(&self, count: usize, time: Duration) -> Vec<Effect> {
        self.faults.wait(time, |plan| plan.of(self.number).count() >= count);
        self.faults.lock().of(self.number).cloned().collect()
    }

    /// Lets the held requests go on, and all that follow; returns what came of them, when the broker has
    /// answered them all or after at most `time`.
    pub(crate) fn release(self, time: Duration) -> Vec<Effect> {
        self.let_go();
        self.faults.wait(time, |plan| plan.of(self.number).all(|effect| effect.took));
        self.faults.lock().of(self.number).cloned().collect()
    }

    fn let_go(&self) {
        self.faults.lock().faults.retain(|(number, ..)| *number != self.number);
        self.release.send_replace(true);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Faults {
    /// Holds requests on their way to the broker, until the answer is released or dropped.
    pub(crate) fn hold(&self, api: ApiKey, times: Times) -> Hold {
        let (release, released) = watch::channel(false);
        let number = self.add(api, Action::Hold(released), times);
        Hold { number, release, faults: self.clone() }
    }

    /// Passes requests on only after `delay`.
    pub(crate) fn delay(&self, api: ApiKey, delay: Duration, times: Times) {
        self.add(api, Action::Delay(delay), times);
    }

    /// Loses requests: they never arrive, and are not answered.
    pub(crate) fn drop_requests(&self, api: ApiKey, times: Times) {
        self.add(api, Action::DropRequest, times);
    }

    /// Passes requests on and loses the answers.
    pub(crate) fn drop_responses(&self, api: ApiKey, times: Times) {
        self.add(api, Action::DropResponse, times);
    }

    /// Closes the connection on which a request arrives; it is not passed on.
    pub(crate) fn close_on(&self, api: ApiKey, times: Times) {
        self.add(api, Action::CloseBefore, times);
    }

    /// Passes a request on and closes the connection to its client.
    pub(crate) fn close_after(&self, api: ApiKey, times: Times) {
        self.add(api, Action::CloseAfter, times);
    }

    /// Closes all connections that are open now. What is held on one of them arrives all the same when it is
    /// released.
    pub(crate) fn close_connections(&self) {
        self.closes.send_modify(|count| *count += 1);
    }

    /// Forgets all faults. Requests that are held stay held by their [`Hold`].
    pub(crate) fn clear(&self) {
        self.lock().faults.clear();
    }

    /// How many requests of this kind have arrived.
    pub(crate) fn seen(&self, api: ApiKey) -> u64 {
        self.lock().seen.get(&api).copied().unwrap_or(0)
    }

    /// Waits until so many requests of this kind have arrived, for at most `time`.
    pub(crate) fn reached(&self, api: ApiKey, count: u64, time: Duration) -> bool {
        self.wait(time, |plan| plan.seen.get(&api).is_some_and(|seen| *seen >= count))
    }

    /// Of all requests that were hit, those that something came of.
    pub(crate) fn took(&self) -> Vec<Effect> {
        self.lock().effects.iter().map(|(_, effect)| effect).filter(|effect| effect.took).cloned().collect()
    }

    /// Waits until something has come of so many faults of this kind, for at most `time`.
    pub(crate) fn await_took(&self, fault: Fault, count: usize, time: Duration) -> bool {
        let took = |(_, effect): &&(u64, Effect)| effect.took && effect.fault == fault;
        self.wait(time, |plan| plan.effects.iter().filter(took).count() >= count)
    }

    /// Changes each time that [`Faults::close_connections`] is called.
    pub(super) fn closes(&self) -> watch::Receiver<u64> {
        self.closes.subscribe()
    }

    /// What is to become of a request that arrives; None: it is passed on.
    pub(super) fn arrive(&self, api: ApiKey, caught: impl FnOnce() -> Caught) -> Option<(EffectId, Action)> {
        let mut plan = self.lock();
        *plan.seen.entry(api).or_default() += 1;
        self.board.changed.notify_all();
        let at = plan.faults.iter().position(|(_, key, ..)| *key == api)?;
        let (number, _, action, times) = &mut plan.faults[at];
        let (number, action) = (*number, action.clone());
        if let Times::Next(left) = times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                plan.faults.remove(at);
            }
        }
        let Caught { connection, transactional_id } = caught();
        let effect = Effect {
            api,
            fault: action.fault(),
            connection,
            transactional_id,
            held: Duration::ZERO,
            client_gone: false,
            took: false,
            error_code: None,
        };
        plan.effects.push((number, effect));
        Some((EffectId(plan.effects.len() - 1), action))
    }

    pub(super) fn note(&self, effect: EffectId, change: impl FnOnce(&mut Effect)) {
        change(&mut self.lock().effects[effect.0].1);
        self.board.changed.notify_all();
    }

    fn add(&self, api: ApiKey, action: Action, times: Times) -> u64 {
        let mut plan = self.lock();
        plan.next += 1;
        let number = plan.next;
        if times != Times::Next(0) {
            plan.faults.push((number, api, action, times));
        }
        number
    }

    fn wait(&self, time: Duration, reached: impl Fn(&Plan) -> bool) -> bool {
        let end = Instant::now() + time;
        let mut plan = self.lock();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if reached(&plan) || left.is_zero() {
                return reached(&plan);
            }
            plan = self.board.changed.wait_timeout(plan, left).expect("nobody panics with it").0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.board.plan.lock().expect("nobody panics with it")
    }
}

impl Plan {
    /// The effects of one fault.
    fn of(&self, number: u64) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(move |(fault, _)| *fault == number).map(|(_, effect)| effect)
    }
}
