//! Pruning a window join: both sides to what the join and those above it read, so that no more goes through the
//! exchanges and is kept, and its output to what those above it read.

use super::{Path, Pruned, below, disjoint, field, is_identity, over, paths_of, value_name};
use crate::bind::{Node, Tree};
use crate::expression::Expression;
use crate::plan::{Column, JoinSide, WindowJoin};

pub(super) fn prune(left: Tree, right: Tree, join: WindowJoin, columns: &[Column], required: &[Path]) -> Pruned {
    let count = left.columns.len();
    let required = over_both(required, &join);
    let paths = paths(&join, count, &required);
    let first_right = paths.partition_point(|path| path.column < count);
    let names = output_names(&left, &right, &join, columns);
    let of_right: Vec<Path> =
        paths[first_right..].iter().map(|path| Path { column: path.column - count, ..path.clone() }).collect();
    let (left, right) = (input_of(left, &paths[..first_right]), input_of(right, &of_right));

    let index_of = |path: &Path| paths.iter().position(|known| known.contains(path)).expect("every path is read");
    let side = |side: &JoinSide, first: usize, new_first: usize| {
        let place = |column: usize| index_of(&Path::column(first + column)) - new_first;
        JoinSide { keys: side.keys.iter().map(|key| place(*key)).collect(), window_end: place(side.window_end) }
    };
    let mut output: Vec<usize> = required.iter().map(index_of).collect();
    output.sort_unstable();
    output.dedup();
    let both: Vec<&Column> = left.columns.iter().chain(&right.columns).collect();
    let new_columns: Vec<Column> = output
        .iter()
        .map(|index| Column { name: value_name(&names, &paths[*index]), data_type: both[*index].data_type.clone() })
        .collect();
    let values = required
        .iter()
        .map(|path| {
            let index = index_of(path);
            let place = output.binary_search(&index).expect("what is required is emitted");
            let column = Expression::column(place, new_columns[place].data_type.clone());
            path.fields[paths[index].fields.len()..].iter().fold(column, |value, index| field(value, *index))
        })
        .collect();
    let of_both: Vec<Expression> =
        (0..).zip(&both).map(|(index, column)| Expression::column(index, column.data_type.clone())).collect();
    let join = WindowJoin {
        left: side(&join.left, 0, 0),
        right: side(&join.right, count, first_right),
        condition: join.condition.map(|condition| over(condition, &paths, &of_both)),
        output,
        ..join
    };
    let node = Node::WindowJoin { left: Box::new(left), right: Box::new(right), join };
    Pruned { tree: Tree { node, columns: new_columns }, values }
}

/// Paths in the output as paths in both inputs.
fn over_both(required: &[Path], join: &WindowJoin) -> Vec<Path> {
    required.iter().map(|path| Path { column: join.output[path.column], ..path.clone() }).collect()
}

/// What is read of both inputs.
fn paths(join: &WindowJoin, left_count: usize, required: &[Path]) -> Vec<Path> {
    let mut paths = required.to_vec();
    paths.extend(paths_of(join.condition.iter()));
    for (side, first) in [(&join.left, 0), (&join.right, left_count)] {
        paths.extend(side.keys.iter().chain([&side.window_end]).map(|column| Path::column(first + column)));
    }
    disjoint(paths)
}

/// The columns of both inputs by the names that they have behind the join, where no two have one name.
fn output_names(left: &Tree, right: &Tree, join: &WindowJoin, columns: &[Column]) -> Vec<Column> {
    let mut both: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
    for (index, column) in join.output.iter().zip(columns) {
        both[*index].name.clone_from(&column.name);
    }
    both
}

/// An input as exactly these columns, by names that don't depend on what else is read.
fn input_of(input: Tree, paths: &[Path]) -> Tree {
    let names: Vec<String> = paths.iter().map(|path| value_name(&input.columns, path)).collect();
    let Pruned { tree, values } = below(input, paths, true);
    if is_identity(&values, &tree) { tree } else { tree.calc(None, names.into_iter().zip(values).collect()) }
}
