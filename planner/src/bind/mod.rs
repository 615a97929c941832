//! Names and types: from the syntax trees of queries to trees of relational operators over bound
//! expressions. Not here: making them faster (`optimise/`), and the plan's graph (`stages.rs`).

mod arithmetic;
mod literal;
mod coerce;
mod interval;
mod scope;
mod relation;
mod call;
mod operator;
mod expression;
mod spelling;
mod window;
mod aggregate;
mod group;
mod join;
mod select;
mod query;
mod table;
mod insert;

pub(crate) use coerce::explicit_cast;
pub(crate) use insert::insert;
pub(crate) use literal::{date_text, decimal_text, per_second};
pub(crate) use query::QueryBinder;
pub(crate) use relation::{Node, Tree, column};
pub(crate) use table::check_declarations;
