//! From Flink SQL to a plan. `parse` -> `catalog` -> `bind` -> `optimise` -> `stages`; one call does it
//! all: [`plan_script`]. No IO, no clock, and no knowledge of Kafka's client: a plan is pure data.

pub mod types;
pub mod ast;
pub mod error;
pub mod parse;
pub mod connector;
pub mod catalog;
pub mod function;
pub mod expression;
pub mod secret;
pub mod plan;
mod bind;
mod optimise;
mod stages;
mod explain;

use bind::QueryBinder;
use catalog::Catalog;
use error::{SqlError, SqlWarning};
use plan::Plan;

/// What a script starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// The time zone where the script has no `SET 'table.local-time-zone'`, an IANA name.
    pub time_zone: String,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { time_zone: "UTC".to_owned() }
    }
}

/// A script's plan, and what its author should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub plan: Plan,
    pub warnings: Vec<SqlWarning>,
}

/// Plans a script: all of its INSERTs, alone or in statement sets, become one plan. Each sees the tables,
/// views and options that stand before it.
pub fn plan_script(sql: &str, options: &PlanOptions) -> Result<Planned, SqlError> {
    let mut catalog = Catalog::new();
    let mut trees = Vec::new();
    let mut spans = Vec::new();
    let mut warnings = Vec::new();
    for statement in parse::parse_script(sql)? {
        for insert in catalog.apply(statement)? {
            let mut binder = QueryBinder::new(&catalog);
            trees.push(bind::insert(&mut binder, &insert).map_err(|error| error.at(insert.span))?);
            spans.push(insert.span);
            warnings.append(&mut binder.warnings);
        }
    }
    bind::check_declarations(&catalog)?;
    if trees.is_empty() {
        return Err(SqlError::invalid("the script has no INSERT INTO, so there is nothing to run")
            .hint("write a query's rows to a table: INSERT INTO t SELECT …"));
    }
    let time_zone = match catalog.session.get("table.local-time-zone") {
        Some(_) => catalog.session.time_zone(),
        None => &options.time_zone,
    };
    let plan = stages::plan(optimise::optimise(trees), time_zone)
        .map_err(|error| if let [only] = spans.as_slice() { error.at(*only) } else { error })?;
    let mut all = std::mem::take(&mut catalog.warnings);
    all.append(&mut warnings);
    Ok(Planned { plan, warnings: all })
}
