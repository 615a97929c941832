//! Adjacent projections and filters become one Calc, and filters move down: through projections, into
//! the inputs of a UNION ALL, below a window function or an aggregation where they don't depend on it.

use super::substitute::{conjunction, conjuncts, renumbered, size, substitute, uses};
use super::{fold, known};
use crate::bind::{Node, Tree};
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::plan::WindowJoin;

/// Expressions that would grow beyond this are computed in two steps instead: a column that is used many
/// times, and in turn used many times, would be copied again and again.
const MOST_NODES: usize = 2_000;

pub(super) fn merge(tree: Tree) -> Tree {
    let Tree { node, columns } = tree;
    let below = |input: Box<Tree>| Box::new(merge(*input));
    let node = match node {
        node @ (Node::Scan(_) | Node::Values { .. }) => node,
        Node::Calc { input, filter, projection } => {
            return calc(merge(*input), filter.map(folded), folded_all(projection), columns);
        }
        Node::Watermark { input, column, expression } => {
            Node::Watermark { input: below(input), column, expression: folded(expression) }
        }
        Node::WindowTableFunction { input, window } => Node::WindowTableFunction { input: below(input), window },
        Node::WindowAggregate { input, window, keys, calls, properties } => {
            Node::WindowAggregate { input: below(input), window, keys, calls, properties }
        }
        Node::WindowJoin { left, right, join } => window_join(merge(*left), merge(*right), join),
        Node::Union { inputs } => Node::Union { inputs: flattened(inputs.into_iter().map(merge).collect()) },
        Node::Sink { input, sink } => Node::Sink { input: below(input), sink },
    };
    Tree { node, columns }
}

/// `a UNION ALL b UNION ALL c` has three inputs.
fn flattened(inputs: Vec<Tree>) -> Vec<Tree> {
    let mut flat = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input.node {
            Node::Union { inputs } => flat.extend(inputs),
            node => flat.push(Tree { node, columns: input.columns }),
        }
    }
    flat
}

/// What the join's condition says of one side alone, that side's rows are filtered by before they are kept.
fn window_join(left: Tree, right: Tree, join: WindowJoin) -> Node {
    let conditions = join.condition.map(folded).map(conjuncts).unwrap_or_default();
    let (left, right, both) = sink_into_sides(left, right, conditions);
    Node::WindowJoin { left, right, join: WindowJoin { condition: conjunction(both), ..join } }
}

/// Filters both sides of a join by the conditions, over the columns of both, that are about one of them only.
fn sink_into_sides(left: Tree, right: Tree, conditions: Vec<Expression>) -> (Box<Tree>, Box<Tree>, Vec<Expression>) {
    let count = left.columns.len();
    let (of_left, rest): (Vec<_>, Vec<_>) =
        conditions.into_iter().partition(|part| !uses(part, &|column| column >= count));
    let (of_right, both): (Vec<_>, Vec<_>) = rest.into_iter().partition(|part| !uses(part, &|column| column < count));
    let of_right = of_right.into_iter().map(|part| renumbered(part, &|column| column - count)).collect();
    (Box::new(filtered(left, of_left)), Box::new(filtered(right, of_right)), both)
}

fn folded(expression: Expression) -> Expression {
    substitute(expression, &Expression::column)
}

fn folded_all(expressions: Vec<Expression>) -> Vec<Expression> {
    expressions.into_iter().map(folded).collect()
}

/// A Calc over an input that is merged already.
fn calc(
    input: Tree,
    filter: Option<Expression>,
    projection: Vec<Expression>,
    columns: Vec<crate::plan::Column>,
) -> Tree {
    let filter = filter.filter(|filter| !matches!(filter.kind, ExpressionKind::Literal(Literal::Boolean(true))));
    let Tree { node, columns: input_columns } = input;
    match node {
        Node::Calc { input, filter: inner_filter, projection: inner } => {
            let replace = |index: usize, _| inner[index].clone();
            let new_filter = filter.clone().map(|filter| substitute(filter, &replace));
            let new_projection: Vec<Expression> =
                projection.iter().map(|expression| substitute(expression.clone(), &replace)).collect();
            if new_projection.iter().chain(&new_filter).map(size).sum::<usize>() > MOST_NODES {
                let node = Node::Calc { input, filter: inner_filter, projection: inner };
                let input = Box::new(Tree { node, columns: input_columns });
                return Tree { node: Node::Calc { input, filter, projection }, columns };
            }
            let filter = conjunction(inner_filter.into_iter().chain(new_filter).collect());
            // What the merged filter is over may let it sink further.
            calc(*input, filter, new_projection, columns)
        }
        Node::Union { inputs } => {
            let inputs = inputs
                .into_iter()
                .map(|input| calc(input, filter.clone(), projection.clone(), columns.clone()))
                .collect();
            Tree { node: Node::Union { inputs }, columns }
        }
        node => {
            let projection = match &filter {
                Some(filter) => known::given(filter, projection),
                None => projection,
            };
            let (node, filter) = sink_filter(node, filter);
            let input = Box::new(Tree { node, columns: input_columns });
            Tree { node: Node::Calc { input, filter, projection }, columns }
        }
    }
}

/// Moves what it can of a filter below the node; returns what is left above.
fn sink_filter(node: Node, filter: Option<Expression>) -> (Node, Option<Expression>) {
    let Some(filter) = filter else { return (node, None) };
    match node {
        Node::WindowTableFunction { input, window } => {
            let count = input.columns.len();
            let (above, below) = conjuncts(filter).into_iter().partition(|part| uses(part, &|column| column >= count));
            (Node::WindowTableFunction { input: Box::new(filtered(*input, below)), window }, conjunction(above))
        }
        Node::WindowAggregate { input, window, keys, calls, properties } => {
            let (above, below): (Vec<_>, Vec<_>) =
                conjuncts(filter).into_iter().partition(|part| uses(part, &|column| column >= keys.len()));
            let below = below.into_iter().map(|part| renumbered(part, &|column| keys[column])).collect();
            let input = Box::new(filtered(*input, below));
            (Node::WindowAggregate { input, window, keys, calls, properties }, conjunction(above))
        }
        Node::WindowJoin { left, right, join } => {
            let over_both = conjuncts(renumbered(filter, &|column| join.output[column]));
            let (left, right, both) = sink_into_sides(*left, *right, over_both);
            // What is left is about pairs of rows, and the join leaves out pairs at less cost than a filter.
            let condition = conjunction(join.condition.clone().into_iter().chain(both).collect());
            (Node::WindowJoin { left, right, join: WindowJoin { condition, ..join } }, None)
        }
        node => (node, Some(filter)),
    }
}

fn filtered(input: Tree, conditions: Vec<Expression>) -> Tree {
    match conjunction(conditions) {
        None => input,
        Some(condition) => {
            let (projection, columns) = (input.identity(), input.columns.clone());
            calc(input, Some(fold::fold(condition)), projection, columns)
        }
    }
}
