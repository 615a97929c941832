//! `millrace savepoint`: makes a savepoint by asking a job's workers, as an operator would, shows what is in one, and
//! deletes it. When what the workers say belongs together is the protocol's business.

mod create;
mod place;
mod inspect;
mod delete;

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use inspect::inspect;
