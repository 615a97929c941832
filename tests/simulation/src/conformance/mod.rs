//! What the commit protocol relies on in Kafka, as checks that run against anything that claims to be a log:
//! the model of this crate, and a real broker. A check that passes here and fails there means that the model
//! lies, and with it every seed.
//!
//! For a real broker implement `LogUnderTest` with a client and run `CHECKS`; each check makes topics and
//! transactional ids of its own, so one broker serves all of them, in any order.

mod checks;
mod model;

pub use checks::CHECKS;
pub use model::ModelLog;

use crate::log::Isolation;

/// Why a log refuses. Clients word it differently, so checks tell apart only what the protocol does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The offset is not in the log.
    OutOfRange,
    /// Anything else: fenced, no transaction, fatal.
    Refused(String),
}

pub type Answer<T> = Result<T, Refusal>;

/// A topic that `LogUnderTest::topic` has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic(pub usize);

/// A producer that `LogUnderTest::init` has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub start: i64,
    /// What a client with `read_committed` is told as the end.
    pub last_stable: i64,
    pub end: i64,
}

pub type Records = Vec<(i64, Vec<u8>)>;

/// Calls return when their effect is there for the next one: a commit when its markers are written, a
/// record when it is delivered.
pub trait LogUnderTest {
    /// Makes a topic.
    fn topic(&mut self, partitions: u32) -> Topic;

    /// Registers a transactional id, with a short transaction timeout. The suite names ids by number; make
    /// them unique to the run.
    fn init(&mut self, transactional_id: u32) -> Answer<Handle>;

    fn begin(&mut self, producer: Handle) -> Answer<()>;

    /// Returns the offset of the record.
    fn produce(&mut self, producer: Handle, topic: Topic, partition: u32, value: &[u8]) -> Answer<i64>;

    fn commit(&mut self, producer: Handle) -> Answer<()>;

    fn abort(&mut self, producer: Handle) -> Answer<()>;

    /// Everything from `from` to the end that this isolation level sees.
    fn fetch(&mut self, topic: Topic, partition: u32, from: i64, isolation: Isolation) -> Answer<Records>;

    fn offsets(&mut self, topic: Topic, partition: u32) -> Offsets;

    fn delete_records(&mut self, topic: Topic, partition: u32, before: i64) -> Answer<()>;

    /// Waits until every transaction that is under way has timed out.
    fn outlive_transactions(&mut self);

    /// Lets a request to end this producer's transaction arrive of which its client knows nothing any more: a
    /// copy, or one that was on its way for long. Clients hide it, so it takes somebody who speaks Kafka's
    /// protocol: its EndTxn up to version 4, after which a producer goes on in the same epoch.
    fn end_late(&mut self, producer: Handle, commit: bool) -> Answer<()>;
}

/// One thing that the protocol relies on.
pub struct Check {
    /// A sentence that may turn out false.
    pub name: &'static str,
    /// Fails by panicking, as tests do; the number makes its transactional ids its own.
    pub run: fn(&mut dyn LogUnderTest, u32),
}
