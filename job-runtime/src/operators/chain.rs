//! Makes the operator of a plan's node. Scans, exchanges, unions, constant rows and sinks are not
//! operators: the runtime moves those rows itself.

use super::Operator;
use super::calc::Calc;
use super::global_window_aggregate::GlobalWindowAggregate;
use super::local_window_aggregate::{Limits, LocalWindowAggregate};
use super::watermark::Watermark;
use super::window_join::WindowJoin;
use super::window_table_function::WindowTableFunction;
use crate::error::{Error, Result};
use crate::state::spill::Spill;
use millrace_planner::plan::{Node, Operator as PlanOperator, Plan, Schema};
use std::time::Duration;

/// The task that operators are made for.
#[derive(Clone, Copy, Debug)]
pub struct TaskEnvironment {
    pub task: u32,
    /// Number of tasks.
    pub parallelism: u32,
    /// A rowtime later than the clock by more than this fails its row; None takes all.
    pub max_event_time_ahead: Option<Duration>,
    /// What the first phase of an aggregation may hold before it passes its results on.
    pub partial_bytes: usize,
}

/// Operators of a plan that keep as much state as there are keys or rows, and so share a task's memory for it.
pub fn spilling_operators(plan: &Plan) -> usize {
    let spills =
        |node: &&Node| matches!(node.operator, PlanOperator::GlobalWindowAggregate(_) | PlanOperator::WindowJoin(_));
    plan.nodes.iter().filter(spills).count()
}

/// The operator of `node`, or None where the runtime does its work.
/// State that is too much for memory goes where `spill` says; None: nowhere.
pub fn build(
    node: &Node,
    plan: &Plan,
    environment: &TaskEnvironment,
    spill: Option<Spill>,
) -> Result<Option<Box<dyn Operator>>> {
    let zone = plan.time_zone.as_str();
    let operator: Box<dyn Operator> = match &node.operator {
        PlanOperator::Scan(_)
        | PlanOperator::Exchange(_)
        | PlanOperator::Union
        | PlanOperator::Values(_)
        | PlanOperator::Sink(_) => return Ok(None),
        PlanOperator::Calc(calc) => Box::new(Calc::new(calc, &node.schema, zone)?),
        PlanOperator::Watermark(watermark) => {
            Box::new(Watermark::new(node.operator_id, watermark, zone, environment.max_event_time_ahead)?)
        }
        PlanOperator::WindowTableFunction(function) => {
            Box::new(WindowTableFunction::new(function, &node.schema, zone)?)
        }
        PlanOperator::LocalWindowAggregate(aggregate) => {
            let operator = LocalWindowAggregate::new(aggregate, input(node, plan, 0)?, &node.schema, zone)?;
            Box::new(operator.with_limits(Limits::of_bytes(environment.partial_bytes)))
        }
        PlanOperator::GlobalWindowAggregate(aggregate) => {
            let TaskEnvironment { task, parallelism, .. } = *environment;
            let input = input(node, plan, 0)?;
            let operator = GlobalWindowAggregate::new(node, aggregate, input, zone, task, parallelism)?;
            Box::new(operator.with_spill(spill))
        }
        PlanOperator::WindowJoin(join) => {
            let TaskEnvironment { task, parallelism, .. } = *environment;
            let inputs = [input(node, plan, 0)?, input(node, plan, 1)?];
            let operator = WindowJoin::new(node, join, inputs, zone, task, parallelism)?;
            Box::new(operator.with_spill(spill))
        }
    };
    Ok(Some(operator))
}

fn input<'a>(node: &Node, plan: &'a Plan, port: usize) -> Result<&'a Schema> {
    let input = node.inputs.get(port).and_then(|&input| plan.nodes.get(input));
    input.map(|node| &node.schema).ok_or_else(|| Error::fail_job("the plan has an operator without input"))
}
