//! `millrace savepoint`: makes a savepoint by asking a job's workers, as an operator would, and shows what is in one.
//! When what they say belongs together is the protocol's business.

mod create;
mod inspect;

pub(crate) use create::create;
pub(crate) use inspect::inspect;
