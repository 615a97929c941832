//! What becomes of a savepoint's state under a plan: told before anything is stopped or started.

use super::manifest::{ManifestOperator, operators};
use crate::error::{Error, Result};
use crate::operators::state_table::Scope;
use millrace_planner::plan::Plan;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub operators: Vec<OperatorChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorChange {
    pub operator: u32,
    pub name: String,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It goes on with its state.
    Kept,
    /// It is new, and starts with nothing: a source where its options say, an operator empty.
    Rebuilt,
    /// The plan has it no more; its state is left behind.
    Dropped,
    /// The plan has it, and can't read its state.
    Incompatible { table: String, was: String, is: String },
}

/// What would become of the state of a job that runs `before`, if a savepoint of it were restored under `after`.
pub fn compare_plans(before: &Plan, after: &Plan) -> Result<Comparison> {
    Ok(compare(&operators(before)?, &operators(after)?))
}

/// Sets what was saved against what is wanted.
pub(super) fn compare(saved: &[ManifestOperator], wanted: &[ManifestOperator]) -> Comparison {
    let (saved, wanted): (Vec<_>, Vec<_>) = (keeping(saved), keeping(wanted));
    let mut changes: Vec<OperatorChange> = wanted
        .iter()
        .map(|operator| {
            let before = saved.iter().find(|saved| saved.id == operator.id);
            let change = before.map_or(Change::Rebuilt, |before| changed(before, operator));
            OperatorChange { operator: operator.id, name: operator.name.clone(), change }
        })
        .collect();
    let dropped = saved.iter().filter(|saved| wanted.iter().all(|operator| operator.id != saved.id));
    changes.extend(dropped.map(|saved| OperatorChange {
        operator: saved.id,
        name: saved.name.clone(),
        change: Change::Dropped,
    }));
    Comparison { operators: changes }
}

/// What an exchange keeps is of no use to other tasks, so it is none of this.
fn keeping(operators: &[ManifestOperator]) -> Vec<&ManifestOperator> {
    let links_only = |operator: &ManifestOperator| {
        !operator.tables.is_empty() && operator.tables.iter().all(|table| table.scope == Scope::Link)
    };
    operators.iter().filter(|operator| !links_only(operator)).collect()
}

fn changed(before: &ManifestOperator, after: &ManifestOperator) -> Change {
    let differing = before.tables.iter().find_map(|was| {
        let is = after.tables.iter().find(|is| is.id == was.id);
        let layout = is.map_or("nothing", |is| is.layout.as_str());
        (layout != was.layout || is.is_some_and(|is| is.scope != was.scope)).then(|| Change::Incompatible {
            table: was.name.clone(),
            was: was.layout.clone(),
            is: layout.to_owned(),
        })
    });
    differing.unwrap_or(Change::Kept)
}

impl Comparison {
    pub fn is_kept(&self, operator: u32) -> bool {
        self.operators.iter().any(|change| change.operator == operator && change.change == Change::Kept)
    }

    /// Refuses what would lose state: always where an operator can't read its own, and where one is gone unless
    /// that is allowed, which is said by `option`.
    pub fn permit(&self, allow_non_restored_state: bool, option: &str) -> Result<()> {
        let any = |of: fn(&Change) -> bool| self.operators.iter().any(|operator| of(&operator.change));
        if any(|change| matches!(change, Change::Incompatible { .. })) {
            return Err(Error::user_fault(format!(
                "the plan can't go on from this savepoint:\n{self}\nkeep the types of what the operator keeps as they were, \
                 or start the job without the savepoint"
            )));
        }
        if any(|change| *change == Change::Dropped) && !allow_non_restored_state {
            return Err(Error::user_fault(format!(
                "the plan leaves state of this savepoint behind:\n{self}\nif that is meant, say so with {option}"
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, OperatorChange { operator, name, change }) in self.operators.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "  {operator:08x} {name}: ")?;
            match change {
                Change::Kept => write!(f, "kept")?,
                Change::Rebuilt => write!(f, "rebuilt (new, starts with nothing)")?,
                Change::Dropped => write!(f, "dropped")?,
                Change::Incompatible { table, was, is } => {
                    write!(f, "incompatible ({table} was {was}, would be {is})")?;
                }
            }
        }
        Ok(())
    }
}
