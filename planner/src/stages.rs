//! From optimised trees to the plan: aggregations become two phases with an exchange between, equal
//! operators become one, and every operator gets its stage and its stable id. Not here: any choice
//! about what is computed (`optimise/`).

use crate::bind::{Node as TreeNode, Tree, column};
use crate::error::SqlError;
use crate::explain;
use crate::expression::{Expression, ExpressionKind};
use crate::plan::{
    AggregateCall, Calc, Column, Exchange, Node, NodeId, Operator, PLAN_VERSION, Plan, Schema, Values,
    WatermarkAssigner, Window, WindowAggregate, WindowProperty, WindowTableFunction, WindowTime,
};
use crate::types::{DataType, TypeKind};
use std::collections::{HashMap, HashSet};

/// The column by which the local phase of an aggregation says which slice of time a row is of.
const SLICE_END: &str = "slice_end";

pub(crate) fn plan(trees: Vec<Tree>, time_zone: &str) -> Result<Plan, SqlError> {
    let mut graph = Graph::default();
    for tree in trees {
        graph.tree(tree)?;
    }
    let mut plan = Plan { version: PLAN_VERSION, nodes: graph.nodes, time_zone: time_zone.to_owned() };
    number_stages(&mut plan);
    name_operators(&mut plan);
    Ok(plan)
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    /// The nodes by what they are, so that none is there twice.
    known: HashMap<String, NodeId>,
}

impl Graph {
    fn tree(&mut self, tree: Tree) -> Result<NodeId, SqlError> {
        let Tree { node, columns } = tree;
        let (operator, inputs) = match node {
            TreeNode::Scan(scan) => (Operator::Scan(scan), Vec::new()),
            TreeNode::Values { rows } => (Operator::Values(Values { rows }), Vec::new()),
            TreeNode::Calc { input, filter, projection } => {
                (Operator::Calc(Calc { filter, projection }), vec![self.tree(*input)?])
            }
            TreeNode::Watermark { input, column, expression } => {
                (Operator::Watermark(WatermarkAssigner { column, expression }), vec![self.tree(*input)?])
            }
            TreeNode::WindowTableFunction { window: Window { time: WindowTime::Processing, .. }, .. } => {
                return Err(SqlError::unsupported("a processing-time window without an aggregation")
                    .hint("group by window_start and window_end, or use an event-time attribute"));
            }
            TreeNode::WindowTableFunction { input, window } => {
                (Operator::WindowTableFunction(WindowTableFunction { window }), vec![self.tree(*input)?])
            }
            TreeNode::WindowAggregate { input, window, keys, calls, properties } => {
                let input = self.tree(*input)?;
                return Ok(self.aggregate(input, window, keys, calls, properties, columns));
            }
            TreeNode::WindowJoin { left, right, join } => {
                let (left, right) = (self.tree(*left)?, self.tree(*right)?);
                let inputs = vec![self.exchange(left, &join.left.keys), self.exchange(right, &join.right.keys)];
                (Operator::WindowJoin(join), inputs)
            }
            TreeNode::Union { inputs } => {
                let inputs = inputs.into_iter().map(|input| self.tree(input)).collect::<Result<_, _>>()?;
                (Operator::Union, inputs)
            }
            TreeNode::Sink { input, sink } => (Operator::Sink(sink), vec![self.tree(*input)?]),
        };
        Ok(self.add(operator, inputs, columns))
    }

    /// Both phases and the exchange between them.
    fn aggregate(
        &mut self,
        input: NodeId,
        window: Window,
        keys: Vec<usize>,
        calls: Vec<AggregateCall>,
        properties: Vec<WindowProperty>,
        columns: Vec<Column>,
    ) -> NodeId {
        let key_columns = keys.iter().map(|key| self.nodes[input].schema.columns[*key].clone());
        let mut partial: Vec<Column> = key_columns.collect();
        partial.push(column(SLICE_END, &DataType::not_null(TypeKind::BigInt)));
        let mut merged = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            merged.push(AggregateCall { argument: Some(partial.len()), filter: None, ..call.clone() });
            for (part, data_type) in call.partial.iter().enumerate() {
                partial.push(column(&format!("$p{index}_{part}"), data_type));
            }
        }
        let key_count = keys.len();
        let local = WindowAggregate { window: window.clone(), keys, calls, properties: Vec::new() };
        let local = self.add(Operator::LocalWindowAggregate(local), vec![input], partial.clone());
        let keys: Vec<usize> = (0..key_count).collect();
        let exchange = self.add(Operator::Exchange(Exchange { keys: keys.clone() }), vec![local], partial);
        let time = match window.time {
            WindowTime::Event { local_time_zone, .. } => WindowTime::Event { column: key_count, local_time_zone },
            WindowTime::Processing => WindowTime::Processing,
        };
        let global = WindowAggregate { window: Window { time, ..window }, keys, calls: merged, properties };
        self.add(Operator::GlobalWindowAggregate(global), vec![exchange], columns)
    }

    /// Rows with the same values in `keys` at one task.
    fn exchange(&mut self, input: NodeId, keys: &[usize]) -> NodeId {
        let columns = self.nodes[input].schema.columns.clone();
        self.add(Operator::Exchange(Exchange { keys: keys.to_vec() }), vec![input], columns)
    }

    fn add(&mut self, operator: Operator, inputs: Vec<NodeId>, columns: Vec<Column>) -> NodeId {
        // Two sinks that look alike are still two: each INSERT writes its rows.
        let is_sink = matches!(operator, Operator::Sink(_));
        let key = format!("{operator:?} {inputs:?} {columns:?}");
        if !is_sink && let Some(known) = self.known.get(&key) {
            return *known;
        }
        let node = Node { operator_id: 0, stage: 0, inputs, operator, schema: Schema { columns } };
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        if !is_sink {
            self.known.insert(key, id);
        }
        id
    }
}

/// A node is in the latest stage of its inputs, or in the one after an exchange.
fn number_stages(plan: &mut Plan) {
    for id in 0..plan.nodes.len() {
        let stage = plan.nodes[id]
            .inputs
            .iter()
            .map(|input| {
                let input = &plan.nodes[*input];
                input.stage + u32::from(matches!(input.operator, Operator::Exchange(_)))
            })
            .max()
            .unwrap_or(0);
        plan.nodes[id].stage = stage;
    }
}

/// Hashes what each operator is, in names rather than in places of columns, with what it reads: another
/// query beside this one, or one column more from a table, leaves the ids as they are.
fn name_operators(plan: &mut Plan) {
    let mut taken = HashSet::new();
    let mut lineages: Vec<u32> = Vec::with_capacity(plan.nodes.len());
    for id in 0..plan.nodes.len() {
        let node = &plan.nodes[id];
        let mut identity = explain::identity(plan, id);
        for input in &node.inputs {
            identity.push_str(&format!(" {:08x}", lineages[*input]));
        }
        // Picking columns leaves no trace: whether it takes an operator depends on the other queries.
        let lineage = match node.inputs.as_slice() {
            [input] if only_picks_columns(&node.operator) => lineages[*input],
            _ => hash(&identity),
        };
        lineages.push(lineage);
        let operator_id = (0_u32..)
            .map(|attempt| if attempt == 0 { hash(&identity) } else { hash(&format!("{identity} #{attempt}")) })
            .find(|candidate| *candidate != 0 && taken.insert(*candidate))
            .expect("a plan has fewer operators than there are ids");
        plan.nodes[id].operator_id = operator_id;
    }
}

fn only_picks_columns(operator: &Operator) -> bool {
    fn is_path(expression: &Expression) -> bool {
        match &expression.kind {
            ExpressionKind::Column(_) => true,
            ExpressionKind::Field { input, .. } => is_path(input),
            _ => false,
        }
    }
    matches!(operator, Operator::Calc(Calc { filter: None, projection }) if projection.iter().all(is_path))
}

/// FNV-1a of 64 bits, folded. Persisted: state is found by it.
fn hash(text: &str) -> u32 {
    let wide = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (wide >> 32) as u32 ^ wide as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_operators_never_changes() {
        // FNV-1a's published vectors for 64 bits, folded.
        assert_eq!(hash(""), 0xcbf2_9ce4 ^ 0x8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171 ^ 0xf739_67e8);
    }
}
