//! Columns that nothing reads go away, down to the scan, and of a ROW only the fields that are read are
//! decoded. A watermark that no event-time operator waits for goes too.

mod window_join;

use super::substitute::{field, substitute};
use crate::bind::{Node, Tree};
use crate::expression::{Expression, ExpressionKind};
use crate::plan::{AggregateCall, Column, Scan, ScanColumn, Window, WindowProperty, WindowTime};
use crate::types::TypeKind;

/// A column, or a field in nested ROWs of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    column: usize,
    fields: Vec<usize>,
}

impl Path {
    fn column(column: usize) -> Self {
        Self { column, fields: Vec::new() }
    }

    fn contains(&self, other: &Self) -> bool {
        self.column == other.column && other.fields.starts_with(&self.fields)
    }
}

/// A pruned tree, and each of the paths asked for as an expression over its columns.
struct Pruned {
    tree: Tree,
    values: Vec<Expression>,
}

pub(super) fn prune(tree: Tree) -> Tree {
    let all: Vec<Path> = (0..tree.columns.len()).map(Path::column).collect();
    let pruned = below(tree, &all, false);
    match &pruned.tree.node {
        Node::Sink { .. } => pruned.tree,
        _ => into_columns(pruned),
    }
}

/// Makes the values columns, with a Calc where they are not.
fn into_columns(pruned: Pruned) -> Tree {
    let Pruned { tree, values } = pruned;
    if is_identity(&values, &tree) {
        return tree;
    }
    let names: Vec<String> = values.iter().enumerate().map(|(index, value)| name_of(value, &tree, index)).collect();
    tree.calc(None, names.into_iter().zip(values).collect())
}

fn is_identity(values: &[Expression], tree: &Tree) -> bool {
    values.len() == tree.columns.len()
        && values.iter().enumerate().all(|(index, value)| value.kind == ExpressionKind::Column(index))
}

fn name_of(value: &Expression, tree: &Tree, index: usize) -> String {
    match value.kind {
        ExpressionKind::Column(column) => tree.columns[column].name.clone(),
        _ => format!("$f{index}"),
    }
}

/// Prunes a tree to the paths. `event_time`: something above waits for the watermark.
fn below(tree: Tree, required: &[Path], event_time: bool) -> Pruned {
    let Tree { node, columns } = tree;
    match node {
        Node::Scan(scan) => self::scan(scan, &columns, required),
        Node::Values { rows } => {
            let values = required.iter().map(|path| value(&columns, path)).collect();
            Pruned { tree: Tree { node: Node::Values { rows }, columns }, values }
        }
        Node::Calc { input, filter, projection } => calc(*input, filter, &projection, &columns, required, event_time),
        Node::Watermark { input, .. } if !event_time => below(*input, required, false),
        Node::Watermark { input, column, expression } => watermark(*input, column, expression, required),
        Node::WindowTableFunction { input, window } => window_function(*input, window, &columns, required, event_time),
        node @ Node::WindowAggregate { .. } => aggregate(Tree { node, columns }, required),
        Node::WindowJoin { left, right, join } => window_join::prune(*left, *right, join, &columns, required),
        Node::Union { inputs } => union(inputs, &columns, required, event_time),
        Node::Sink { input, sink } => {
            let all: Vec<Path> = (0..input.columns.len()).map(Path::column).collect();
            let names: Vec<String> = input.columns.iter().map(|column| column.name.clone()).collect();
            let mut input = into_columns(below(*input, &all, event_time));
            // Other operators keep their names, so that they can be shared with other queries.
            if matches!(input.node, Node::Calc { .. }) {
                for (column, name) in input.columns.iter_mut().zip(names) {
                    column.name = name;
                }
            }
            Pruned { tree: Tree { node: Node::Sink { input: Box::new(input), sink }, columns }, values: Vec::new() }
        }
    }
}

fn value(columns: &[Column], path: &Path) -> Expression {
    let column = Expression::column(path.column, columns[path.column].data_type.clone());
    path.fields.iter().fold(column, |value, index| field(value, *index))
}

fn scan(scan: Scan, columns: &[Column], required: &[Path]) -> Pruned {
    let paths = disjoint(required.to_vec());
    let mut read = Vec::with_capacity(paths.len());
    let mut read_columns = Vec::with_capacity(paths.len());
    for path in &paths {
        let (mut name, mut names) = (columns[path.column].name.clone(), Vec::new());
        let mut kind = &columns[path.column].data_type.kind;
        for index in &path.fields {
            if let TypeKind::Row(fields) = kind {
                name = format!("{name}.{}", fields[*index].name);
                names.push(fields[*index].name.clone());
                kind = &fields[*index].data_type.kind;
            }
        }
        read.push(match &scan.columns[path.column] {
            ScanColumn::Physical { path } => ScanColumn::Physical { path: path.iter().cloned().chain(names).collect() },
            metadata => metadata.clone(),
        });
        read_columns.push(Column { name, data_type: value(columns, path).data_type });
    }
    let values = required.iter().map(|path| from_paths(path, &paths, &read_columns)).collect();
    Pruned { tree: Tree { node: Node::Scan(Scan { columns: read, ..scan }), columns: read_columns }, values }
}

/// A path as an expression over columns that are paths themselves.
fn from_paths(path: &Path, paths: &[Path], columns: &[Column]) -> Expression {
    let index = paths.iter().position(|known| known.contains(path)).expect("every path asked for is read");
    let column = Expression::column(index, columns[index].data_type.clone());
    path.fields[paths[index].fields.len()..].iter().fold(column, |value, index| field(value, *index))
}

/// Sorted, without those that are inside of others.
fn disjoint(mut paths: Vec<Path>) -> Vec<Path> {
    paths.sort();
    // A path sorts right before those inside of it.
    let mut kept: Vec<Path> = Vec::with_capacity(paths.len());
    for path in paths {
        if !kept.last().is_some_and(|last| last.contains(&path)) {
            kept.push(path);
        }
    }
    kept
}

/// The paths that expressions read.
fn paths_of<'e>(expressions: impl Iterator<Item = &'e Expression>) -> Vec<Path> {
    let mut paths = Vec::new();
    for expression in expressions {
        collect(expression, &mut paths);
    }
    disjoint(paths)
}

fn collect(expression: &Expression, paths: &mut Vec<Path>) {
    if let Some(path) = as_path(expression) {
        paths.push(path);
        return;
    }
    match &expression.kind {
        ExpressionKind::Column(_) | ExpressionKind::Literal(_) => {}
        ExpressionKind::Call { arguments, .. } => arguments.iter().for_each(|argument| collect(argument, paths)),
        ExpressionKind::Cast { input, .. } | ExpressionKind::Field { input, .. } => collect(input, paths),
        ExpressionKind::Case { branches, otherwise } => {
            for (condition, result) in branches {
                collect(condition, paths);
                collect(result, paths);
            }
            collect(otherwise, paths);
        }
    }
}

fn as_path(expression: &Expression) -> Option<Path> {
    match &expression.kind {
        ExpressionKind::Column(column) => Some(Path::column(*column)),
        ExpressionKind::Field { input, index } => {
            let mut path = as_path(input)?;
            path.fields.push(*index);
            Some(path)
        }
        _ => None,
    }
}

/// The expression over the pruned input.
fn over(expression: Expression, paths: &[Path], values: &[Expression]) -> Expression {
    if let Some(path) = as_path(&expression) {
        let index = paths.iter().position(|known| known.contains(&path)).expect("every path of an expression is read");
        let rest = &path.fields[paths[index].fields.len()..];
        return rest.iter().fold(values[index].clone(), |value, index| field(value, *index));
    }
    expression.map_inputs(&|input| over(input, paths, values))
}

fn calc(
    input: Tree,
    filter: Option<Expression>,
    projection: &[Expression],
    columns: &[Column],
    required: &[Path],
    event_time: bool,
) -> Pruned {
    // One output for each path: a field of a computed ROW is computed alone.
    let mut outputs: Vec<(String, Expression)> = Vec::with_capacity(required.len());
    let mut values = Vec::with_capacity(required.len());
    for path in required {
        let expression = path.fields.iter().fold(projection[path.column].clone(), |value, index| field(value, *index));
        values.push(Expression::column(outputs.len(), expression.data_type.clone()));
        outputs.push((value_name(columns, path), expression));
    }
    let paths = paths_of(outputs.iter().map(|(_, expression)| expression).chain(&filter));
    let input = below(input, &paths, event_time);
    let filter = filter.map(|filter| over(filter, &paths, &input.values));
    let outputs: Vec<(String, Expression)> =
        outputs.into_iter().map(|(name, expression)| (name, over(expression, &paths, &input.values))).collect();
    let expressions: Vec<Expression> = outputs.iter().map(|(_, expression)| expression.clone()).collect();
    if filter.is_none() && is_identity(&expressions, &input.tree) {
        return Pruned { tree: input.tree, values };
    }
    Pruned { tree: input.tree.calc(filter, outputs), values }
}

fn value_name(columns: &[Column], path: &Path) -> String {
    let column = &columns[path.column];
    let (mut name, mut kind) = (column.name.clone(), &column.data_type.kind);
    for index in &path.fields {
        if let TypeKind::Row(fields) = kind {
            name = format!("{name}.{}", fields[*index].name);
            kind = &fields[*index].data_type.kind;
        }
    }
    name
}

fn watermark(input: Tree, column: usize, expression: Expression, required: &[Path]) -> Pruned {
    let mut wanted = required.to_vec();
    wanted.push(Path::column(column));
    collect(&expression, &mut wanted);
    let paths = disjoint(wanted);
    let input = below(input, &paths, true);
    let of_path = |path: &Path| {
        let index = paths.iter().position(|known| known.contains(path)).expect("every path asked for is read");
        let rest = &path.fields[paths[index].fields.len()..];
        rest.iter().fold(input.values[index].clone(), |value, index| field(value, *index))
    };
    let values = required.iter().map(of_path).collect();
    let time = of_path(&Path::column(column));
    let expression = over(expression, &paths, &input.values);
    let columns = input.tree.columns.clone();
    let ExpressionKind::Column(column) = time.kind else {
        unreachable!("a whole column is asked for, and comes as one")
    };
    Pruned { tree: Tree { node: Node::Watermark { input: Box::new(input.tree), column, expression }, columns }, values }
}

/// Prunes an input to whole columns: each of `wanted` has its place in the result.
fn input_columns(input: Tree, wanted: &[usize], event_time: bool) -> (Tree, impl Fn(usize) -> usize + use<>) {
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let paths: Vec<Path> = sorted.iter().copied().map(Path::column).collect();
    let mut pruned = below(input, &paths, event_time);
    let is_column = |value: &Expression| matches!(value.kind, ExpressionKind::Column(_));
    if !pruned.values.iter().all(is_column) {
        let tree = into_columns(pruned);
        pruned = Pruned { values: tree.identity(), tree };
    }
    let places: Vec<usize> = pruned
        .values
        .iter()
        .map(|value| match value.kind {
            ExpressionKind::Column(place) => place,
            _ => unreachable!("the values were made columns"),
        })
        .collect();
    let place = move |column: usize| {
        let index = sorted.binary_search(&column).expect("only columns that were asked for are placed");
        places[index]
    };
    (pruned.tree, place)
}

fn time_column(time: WindowTime) -> Option<usize> {
    match time {
        WindowTime::Event { column, .. } => Some(column),
        WindowTime::Processing => None,
    }
}

fn moved(window: Window, place: &impl Fn(usize) -> usize) -> Window {
    let time = match window.time {
        WindowTime::Event { column, local_time_zone } => WindowTime::Event { column: place(column), local_time_zone },
        WindowTime::Processing => WindowTime::Processing,
    };
    Window { time, ..window }
}

fn window_function(input: Tree, window: Window, columns: &[Column], required: &[Path], event_time: bool) -> Pruned {
    let count = input.columns.len();
    let mut paths: Vec<Path> = required.iter().filter(|path| path.column < count).cloned().collect();
    paths.extend(time_column(window.time).map(Path::column));
    let paths = disjoint(paths);
    let input = below(input, &paths, event_time);
    let of_path = |path: &Path| over(value(columns, path), &paths, &input.values);
    let new_count = input.tree.columns.len();
    let values = required
        .iter()
        .map(|path| match path.column.checked_sub(count) {
            None => of_path(path),
            Some(property) => Expression::column(new_count + property, columns[path.column].data_type.clone()),
        })
        .collect();
    let place = |column: usize| match of_path(&Path::column(column)).kind {
        ExpressionKind::Column(place) => place,
        _ => unreachable!("a whole column is asked for, and comes as one"),
    };
    let window = moved(window, &place);
    let mut new_columns = input.tree.columns.clone();
    new_columns.extend_from_slice(&columns[count..]);
    let node = Node::WindowTableFunction { input: Box::new(input.tree), window };
    Pruned { tree: Tree { node, columns: new_columns }, values }
}

/// Keeps the keys, and of the results and properties what is read.
fn aggregate(tree: Tree, required: &[Path]) -> Pruned {
    let Tree { node: Node::WindowAggregate { input, window, keys, calls, properties }, columns } = tree else {
        unreachable!("called for this node only")
    };
    let is_read = |column: usize| required.iter().any(|path| path.column == column);
    let kept: Vec<usize> = (0..columns.len()).filter(|column| *column < keys.len() || is_read(*column)).collect();
    let of = |column: usize| column - keys.len();
    let new_calls: Vec<AggregateCall> = kept
        .iter()
        .filter(|column| **column >= keys.len())
        .filter_map(|column| calls.get(of(*column)).cloned())
        .collect();
    let new_properties: Vec<WindowProperty> = kept
        .iter()
        .filter_map(|column| column.checked_sub(keys.len() + calls.len()).map(|index| properties[index]))
        .collect();
    let mut wanted = keys.clone();
    wanted.extend(new_calls.iter().flat_map(|call| call.argument.into_iter().chain(call.filter)));
    wanted.extend(time_column(window.time));
    let event_time = matches!(window.time, WindowTime::Event { .. });
    let (input, place) = input_columns(*input, &wanted, event_time);
    let new_calls = new_calls
        .into_iter()
        .map(|call| AggregateCall { argument: call.argument.map(&place), filter: call.filter.map(&place), ..call })
        .collect();
    let new_columns: Vec<Column> = kept.iter().map(|column| columns[*column].clone()).collect();
    let values = required
        .iter()
        .map(|path| {
            let place = kept.binary_search(&path.column).expect("what is read is kept");
            let column = Expression::column(place, columns[path.column].data_type.clone());
            path.fields.iter().fold(column, |value, index| field(value, *index))
        })
        .collect();
    let node = Node::WindowAggregate {
        input: Box::new(input),
        window: moved(window, &place),
        keys: keys.iter().map(|key| place(*key)).collect(),
        calls: new_calls,
        properties: new_properties,
    };
    Pruned { tree: Tree { node, columns: new_columns }, values }
}

fn union(inputs: Vec<Tree>, columns: &[Column], required: &[Path], event_time: bool) -> Pruned {
    let paths = disjoint(required.to_vec());
    let new_columns: Vec<Column> = paths
        .iter()
        .map(|path| Column { name: value_name(columns, path), data_type: value(columns, path).data_type })
        .collect();
    let inputs = inputs.into_iter().map(|input| into_columns(below(input, &paths, event_time))).collect();
    let values = required.iter().map(|path| from_paths(path, &paths, &new_columns)).collect();
    Pruned { tree: Tree { node: Node::Union { inputs }, columns: new_columns }, values }
}

/// Replaces columns by values over another input.
pub(super) fn replaced(expression: Expression, values: &[Expression]) -> Expression {
    substitute(expression, &|column, _| values[column].clone())
}
