//! Which thread runs which task, and the channels between threads.

use super::Envelope;
use crate::kafka::consumer::FetchWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Most that is meant to be between the threads of a worker.
const IN_FLIGHT_BYTES: usize = 32 << 20;

/// The sending side, the same for every thread.
#[derive(Clone)]
pub struct Router {
    peers: Arc<Vec<Peer>>,
    senders: Vec<Sender<Envelope>>,
    /// By task; None: it belongs to another worker.
    thread_of: Arc<Vec<Option<usize>>>,
}

/// A thread as others see it.
struct Peer {
    /// Bytes sent to it that it has not received.
    in_flight: AtomicUsize,
    /// Ends its wait for records, when it reads any.
    wakers: Vec<FetchWaker>,
}

/// The receiving side of one thread.
pub struct Inbox {
    thread: usize,
    receiver: Receiver<Envelope>,
    peers: Arc<Vec<Peer>>,
}

impl Router {
    /// `thread_of[t]` runs task t, if this worker does; `wakers[i]` are thread i's.
    pub fn new(thread_of: Vec<Option<usize>>, wakers: Vec<Vec<FetchWaker>>) -> (Self, Vec<Inbox>) {
        let peers: Vec<Peer> =
            wakers.into_iter().map(|wakers| Peer { in_flight: AtomicUsize::new(0), wakers }).collect();
        let peers = Arc::new(peers);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..peers.len()).map(|_| channel()).unzip();
        let inbox = |(thread, receiver)| Inbox { thread, receiver, peers: peers.clone() };
        let inboxes = receivers.into_iter().enumerate().map(inbox).collect();
        (Self { peers: peers.clone(), senders, thread_of: Arc::new(thread_of) }, inboxes)
    }

    /// Tasks of the job.
    pub fn parallelism(&self) -> u32 {
        self.thread_of.len() as u32
    }

    /// Tasks of this worker.
    pub fn local_tasks(&self) -> impl Iterator<Item = u32> {
        self.thread_of.iter().enumerate().filter(|(_, thread)| thread.is_some()).map(|(task, _)| task as u32)
    }

    pub fn is_local(&self, task: u32) -> bool {
        self.thread_of[task as usize].is_some()
    }

    /// The thread that runs a task of this worker.
    pub fn thread_of(&self, task: u32) -> usize {
        self.thread_of[task as usize].expect("a task of this worker")
    }

    /// Never blocks: the bound on memory is kept by sources, which stop reading while much is in flight.
    pub fn send(&self, envelope: Envelope) {
        let thread = self.thread_of(envelope.to);
        let peer = &self.peers[thread];
        peer.in_flight.fetch_add(envelope.bytes(), Ordering::Relaxed);
        let own = self.thread_of(envelope.from) == thread;
        // A receiver that is gone has failed; its error is on its way to the coordinator.
        if self.senders[thread].send(envelope).is_ok() && !own {
            peer.wakers.iter().for_each(FetchWaker::wake);
        }
    }

    /// Ends every thread's wait.
    pub fn wake_all(&self) {
        self.peers.iter().flat_map(|p| &p.wakers).for_each(FetchWaker::wake);
    }

    /// Whether more should be sent, at a point where that can wait: threads receive all the time, whatever else they wait for.
    pub fn has_room(&self) -> bool {
        self.peers.iter().map(|p| p.in_flight.load(Ordering::Relaxed)).sum::<usize>() < IN_FLIGHT_BYTES
    }
}

impl Inbox {
    pub fn try_receive(&self) -> Option<Envelope> {
        self.receiver.try_recv().ok().inspect(|e| self.received(e))
    }

    /// Waits for a message at most this long.
    pub fn receive(&self, timeout: Duration) -> Option<Envelope> {
        match self.receiver.recv_timeout(timeout) {
            Ok(envelope) => {
                self.received(&envelope);
                Some(envelope)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    fn received(&self, envelope: &Envelope) {
        self.peers[self.thread].in_flight.fetch_sub(envelope.bytes(), Ordering::Relaxed);
    }
}
