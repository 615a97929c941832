//! A table that several queries of a script read is scanned once, for all the columns that any of them
//! reads. Not here: equal operators above the scan, which the plan's graph shares (`stages.rs`).

use super::prune::replaced;
use super::substitute::field;
use crate::bind::{Node, Tree, column};
use crate::expression::Expression;
use crate::plan::{Column, Scan, ScanColumn, Table};
use crate::types::{DataType, TypeKind};

/// What is read of one table in all.
struct Shared {
    table: Table,
    columns: Vec<(ScanColumn, Column)>,
}

pub(super) fn share_scans(trees: Vec<Tree>) -> Vec<Tree> {
    let mut shared: Vec<Shared> = Vec::new();
    for tree in &trees {
        collect(tree, &mut shared);
    }
    for scan in &mut shared {
        settle(scan);
    }
    trees.into_iter().map(|tree| rewritten(tree, &shared)).collect()
}

fn collect(tree: &Tree, shared: &mut Vec<Shared>) {
    match &tree.node {
        Node::Scan(scan) => {
            let index = shared.iter().position(|known| known.table == scan.table).unwrap_or_else(|| {
                shared.push(Shared { table: scan.table.clone(), columns: Vec::new() });
                shared.len() - 1
            });
            for (scanned, column) in scan.columns.iter().zip(&tree.columns) {
                if !shared[index].columns.iter().any(|(known, _)| known == scanned) {
                    shared[index].columns.push((scanned.clone(), column.clone()));
                }
            }
        }
        Node::Values { .. } => {}
        Node::Calc { input, .. }
        | Node::Watermark { input, .. }
        | Node::WindowTableFunction { input, .. }
        | Node::WindowAggregate { input, .. }
        | Node::Sink { input, .. } => collect(input, shared),
        Node::WindowJoin { left, right, .. } => [left, right].into_iter().for_each(|input| collect(input, shared)),
        Node::Union { inputs } => inputs.iter().for_each(|input| collect(input, shared)),
    }
}

/// Drops fields of ROWs that are read whole, and brings the rest into the table's order.
fn settle(shared: &mut Shared) {
    let physical = &shared.table.physical;
    let all: Vec<ScanColumn> = shared.columns.iter().map(|(scanned, _)| scanned.clone()).collect();
    shared.columns.retain(|(scanned, _)| !all.iter().any(|other| other != scanned && is_inside(scanned, other)));
    shared.columns.sort_by_key(|(scanned, _)| match scanned {
        ScanColumn::Physical { path } => (position(physical, path), String::new()),
        ScanColumn::Metadata { key } => (vec![usize::MAX], key.clone()),
    });
}

fn is_inside(inner: &ScanColumn, outer: &ScanColumn) -> bool {
    match (inner, outer) {
        (ScanColumn::Physical { path: inner }, ScanColumn::Physical { path: outer }) => inner.starts_with(outer),
        (inner, outer) => inner == outer,
    }
}

/// Where a path stands in the table's declaration.
fn position(physical: &[Column], path: &[String]) -> Vec<usize> {
    let mut places = Vec::with_capacity(path.len());
    let Some((first, rest)) = path.split_first() else { return places };
    let Some(index) = physical.iter().position(|column| column.name == *first) else { return places };
    places.push(index);
    let mut kind = &physical[index].data_type.kind;
    for name in rest {
        let TypeKind::Row(fields) = kind else { break };
        let Some(index) = fields.iter().position(|field| field.name == *name) else { break };
        places.push(index);
        kind = &fields[index].data_type.kind;
    }
    places
}

fn rewritten(tree: Tree, shared: &[Shared]) -> Tree {
    let Tree { node, columns } = tree;
    let below = |input: Box<Tree>| Box::new(rewritten(*input, shared));
    let node = match node {
        Node::Scan(scan) => {
            let (tree, values) = widened(scan, shared);
            let is_same = values.len() == tree.columns.len()
                && values
                    .iter()
                    .enumerate()
                    .all(|(index, value)| *value == Expression::column(index, value.data_type.clone()));
            if is_same {
                return tree;
            }
            let names = columns.iter().map(|column| column.name.clone());
            return tree.calc(None, names.zip(values).collect());
        }
        Node::Calc { input, filter, projection } => {
            if let Node::Scan(scan) = input.node {
                let (tree, values) = widened(scan, shared);
                let filter = filter.map(|filter| replaced(filter, &values));
                let projection = projection.into_iter().map(|expression| replaced(expression, &values)).collect();
                Node::Calc { input: Box::new(tree), filter, projection }
            } else {
                Node::Calc { input: below(input), filter, projection }
            }
        }
        Node::Watermark { input, column, expression } => Node::Watermark { input: below(input), column, expression },
        Node::WindowTableFunction { input, window } => Node::WindowTableFunction { input: below(input), window },
        Node::WindowAggregate { input, window, keys, calls, properties } => {
            Node::WindowAggregate { input: below(input), window, keys, calls, properties }
        }
        Node::WindowJoin { left, right, join } => Node::WindowJoin { left: below(left), right: below(right), join },
        Node::Union { inputs } => {
            Node::Union { inputs: inputs.into_iter().map(|input| rewritten(input, shared)).collect() }
        }
        Node::Sink { input, sink } => Node::Sink { input: below(input), sink },
        node @ Node::Values { .. } => node,
    };
    Tree { node, columns }
}

/// The shared scan of a scan's table, and the columns of the former over it.
fn widened(scan: Scan, shared: &[Shared]) -> (Tree, Vec<Expression>) {
    let all = shared.iter().find(|known| known.table == scan.table).expect("every scan was collected");
    let columns: Vec<Column> = all.columns.iter().map(|(_, known)| column(&known.name, &known.data_type)).collect();
    let values = scan
        .columns
        .iter()
        .map(|wanted| {
            let index =
                all.columns.iter().position(|(known, _)| is_inside(wanted, known)).expect("every column was collected");
            let value = Expression::column(index, columns[index].data_type.clone());
            match (wanted, &all.columns[index].0) {
                (ScanColumn::Physical { path }, ScanColumn::Physical { path: known }) => {
                    path[known.len()..].iter().fold(value, |value, name| field_by_name(value, name))
                }
                _ => value,
            }
        })
        .collect();
    let scan = Scan { columns: all.columns.iter().map(|(known, _)| known.clone()).collect(), ..scan };
    (Tree { node: Node::Scan(scan), columns }, values)
}

fn field_by_name(input: Expression, name: &str) -> Expression {
    let index = match &input.data_type.kind {
        TypeKind::Row(fields) => fields.iter().position(|field| field.name == *name),
        _ => None,
    };
    match index {
        Some(index) => field(input, index),
        None => Expression { data_type: DataType::nullable(TypeKind::Null), ..input },
    }
}
