//! Windows: the table functions TUMBLE, HOP and CUMULATE in FROM, the group windows of the same names
//! in GROUP BY, and the time attribute that each needs. Not here: aggregation over them (`group.rs`).

use super::aggregate::property_reference;
use super::expression::ExpressionBinder;
use super::literal;
use super::relation::{Node, Relation, Role, TimeKind, Tree, WindowOrigin, WindowRows, column};
use super::scope::Scope;
use super::spelling::expressions;
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::plan::{Millis, Window, WindowKind, WindowProperty, WindowTime};
use crate::types::{DataType, TypeKind};
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned};

/// `GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GroupWindow {
    pub(super) kind: WindowKind,
    pub(super) time: TimeKind,
    /// The time column in the input; None for processing time.
    pub(super) column: Option<usize>,
}

pub(super) fn is_group_window(name: &str) -> bool {
    matches!(name, "TUMBLE" | "HOP" | "CUMULATE" | "SESSION")
}

/// `TUMBLE_START` and its like: the window's function, and what of the window it gives.
pub(super) fn auxiliary(name: &str) -> Option<(&'static str, WindowProperty)> {
    let (window, property) = name.split_once('_')?;
    let window = ["TUMBLE", "HOP", "SESSION"].into_iter().find(|known| *known == window)?;
    let property = match property {
        "START" => WindowProperty::Start,
        "END" => WindowProperty::End,
        "ROWTIME" | "PROCTIME" => WindowProperty::Time,
        _ => return None,
    };
    Some((window, property))
}

/// TIMESTAMP(3) NOT NULL.
pub(super) fn window_bound() -> DataType {
    DataType::not_null(TypeKind::Timestamp { precision: 3 })
}

/// The type of `window_time`.
pub(super) fn window_time(time: TimeKind) -> DataType {
    match time {
        TimeKind::Event { local_time_zone: false } => window_bound(),
        _ => DataType::not_null(TypeKind::TimestampLtz { precision: 3 }),
    }
}

impl ExpressionBinder<'_> {
    /// `TUMBLE_START(ts, INTERVAL '1' MINUTE)`, where the query is grouped by that window.
    pub(super) fn group_window_property(
        &mut self,
        (window, property): (&'static str, WindowProperty),
        function: &Function,
    ) -> Result<Expression, SqlError> {
        let place = || function.span().into();
        if window == "SESSION" {
            return Err(SqlError::unsupported("the SESSION window").at(place()));
        }
        let wanted = group_window(window, function, self.scope)?;
        let grouped = self.aggregates.as_ref().and_then(|aggregates| aggregates.group_window);
        match grouped {
            Some(grouped) if grouped == wanted => Ok(property_reference(property, grouped.time)),
            _ => Err(SqlError::invalid(format!("{} needs the same {window} in GROUP BY", function.name)).at(place())),
        }
    }
}

/// A group window with its arguments: `TUMBLE(ts, size)`, `HOP(ts, slide, size)`.
pub(super) fn group_window(name: &str, function: &Function, scope: &Scope<'_>) -> Result<GroupWindow, SqlError> {
    let span: Span = function.span().into();
    let arguments = expressions(function)?;
    let [time, intervals @ ..] = arguments.as_slice() else {
        return Err(SqlError::invalid(format!("{name} needs a time attribute and its size")).at(span));
    };
    let bound = ExpressionBinder::new(scope, "GROUP BY").bind(time)?;
    let ExpressionKind::Column(index) = bound.kind else {
        return Err(
            SqlError::invalid(format!("{name} needs a time attribute, which is a column")).at(time.span().into())
        );
    };
    let sizes = intervals.iter().map(|size| interval(size)).collect::<Result<Vec<_>, _>>()?;
    let kind = match (name, sizes.as_slice()) {
        ("TUMBLE", [size]) => WindowKind::Tumble { size: *size, offset: 0 },
        ("HOP", [slide, size]) => WindowKind::Hop { size: *size, slide: *slide, offset: 0 },
        ("SESSION", _) => return Err(SqlError::unsupported("the SESSION window").at(span)),
        _ => {
            return Err(SqlError::invalid(format!("{name} does not take {} intervals in GROUP BY", sizes.len()))
                .at(span)
                .hint("TUMBLE(ts, size) or HOP(ts, slide, size)"));
        }
    };
    check(kind).map_err(|error| error.at(span))?;
    let name = scope.columns[index].name.as_str();
    let time = time_attribute(scope, index, name).map_err(|error| error.at(time.span().into()))?;
    Ok(GroupWindow { kind, time, column: matches!(time, TimeKind::Event { .. }).then_some(index) })
}

/// Whether windows can follow this column.
fn time_attribute(scope: &Scope<'_>, index: usize, name: &str) -> Result<TimeKind, SqlError> {
    let kind = &scope.columns[index].data_type.kind;
    match scope.roles[index] {
        Role::Proctime => Ok(TimeKind::Processing),
        Role::Rowtime | Role::WindowTime => {
            Ok(TimeKind::Event { local_time_zone: matches!(kind, TypeKind::TimestampLtz { .. }) })
        }
        _ => {
            let hint = if kind.is_timestamp() {
                format!(
                    "declare it in CREATE TABLE: WATERMARK FOR `{name}` AS `{name}` - INTERVAL '5' SECOND, or use a \
                     column `pt` AS PROCTIME()"
                )
            } else {
                format!(
                    "add to CREATE TABLE: `ts` AS TO_TIMESTAMP_LTZ(`{name}`, 3), WATERMARK FOR `ts` AS `ts` - \
                     INTERVAL '5' SECOND, or use a column `pt` AS PROCTIME()"
                )
            };
            Err(SqlError::invalid(format!(
                "a window needs a time attribute, but the column `{name}` is a plain {kind}"
            ))
            .hint(hint))
        }
    }
}

/// The arguments of a window table function, by name.
struct Arguments<'a> {
    data: &'a Expr,
    time: &'a Expr,
    intervals: Vec<(&'static str, &'a Expr)>,
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), …)` over the table that `bind_table` makes of the first argument.
pub(super) fn table_function(
    function: &Function,
    bind_table: impl FnOnce(&Expr) -> Result<Relation, SqlError>,
) -> Result<Relation, SqlError> {
    let span: Span = function.span().into();
    let name = function.name.to_string().replace('`', "").to_ascii_uppercase();
    let order: &[&'static str] = match name.as_str() {
        "TUMBLE" => &["SIZE", "OFFSET"],
        "HOP" => &["SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" => &["STEP", "SIZE", "OFFSET"],
        "SESSION" => return Err(SqlError::unsupported("the SESSION window").at(span)),
        _ => return Err(SqlError::unsupported(format!("the table function {name}")).at(span)),
    };
    let arguments = arguments(&name, function, order).map_err(|error| error.at(span))?;
    let relation = bind_table(arguments.data)?;
    let descriptor = descriptor(arguments.time)?;
    let scope = Scope::of(&relation.tree.columns, &relation.roles);
    let resolved = scope.resolve(std::slice::from_ref(descriptor))?;
    let ExpressionKind::Column(index) = resolved.kind else {
        return Err(SqlError::invalid("DESCRIPTOR needs a column").at(descriptor.span.into()));
    };
    let time = time_attribute(&scope, index, &descriptor.value).map_err(|error| error.at(descriptor.span.into()))?;
    let size_of = |wanted: &str| arguments.intervals.iter().find(|(name, _)| *name == wanted).map(|(_, size)| *size);
    let required = |wanted: &str| {
        let missing = || SqlError::invalid(format!("{name} lacks its {wanted}, an INTERVAL")).at(span);
        interval(size_of(wanted).ok_or_else(missing)?)
    };
    let offset = size_of("OFFSET").map_or(Ok(0), interval)?;
    let kind = match name.as_str() {
        "TUMBLE" => WindowKind::Tumble { size: required("SIZE")?, offset },
        "HOP" => WindowKind::Hop { size: required("SIZE")?, slide: required("SLIDE")?, offset },
        _ => WindowKind::Cumulate { size: required("SIZE")?, step: required("STEP")?, offset },
    };
    check(kind).map_err(|error| error.at(span))?;
    Ok(apply(relation, kind, time, index))
}

fn apply(relation: Relation, kind: WindowKind, time: TimeKind, index: usize) -> Relation {
    let Relation { tree, mut roles, .. } = relation;
    let window_time_column = match time {
        TimeKind::Event { local_time_zone } => WindowTime::Event { column: index, local_time_zone },
        TimeKind::Processing => WindowTime::Processing,
    };
    // The time attribute of the rows is an ordinary timestamp from here on; `window_time` takes over.
    for role in roles.iter_mut().filter(|role| **role != Role::Proctime) {
        *role = Role::Plain;
    }
    roles.extend([Role::WindowStart, Role::WindowEnd, Role::WindowTime]);
    let mut columns = tree.columns.clone();
    columns.push(column("window_start", &window_bound()));
    columns.push(column("window_end", &window_bound()));
    columns.push(column("window_time", &window_time(time)));
    let node = Node::WindowTableFunction { input: Box::new(tree), window: Window { kind, time: window_time_column } };
    let window = Some(WindowOrigin { kind, time, rows: WindowRows::Assigned });
    Relation { tree: Tree { node, columns }, roles, window }
}

fn arguments<'a>(name: &str, function: &'a Function, order: &[&'static str]) -> Result<Arguments<'a>, SqlError> {
    let FunctionArguments::List(list) = &function.args else {
        return Err(SqlError::syntax(format!("{name} lacks its arguments")));
    };
    let (mut data, mut time, mut intervals) = (None, None, Vec::new());
    let mut positional = 0_usize;
    for argument in &list.args {
        let (key, expression) = match argument {
            FunctionArg::Named { name: key, arg: FunctionArgExpr::Expr(expression), .. } => {
                (key.value.to_ascii_uppercase(), expression)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                let key = match positional {
                    0 => "DATA",
                    1 => "TIMECOL",
                    other => order.get(other - 2).copied().ok_or_else(|| {
                        SqlError::invalid(format!("{name} has too many arguments")).at(expression.span().into())
                    })?,
                };
                positional += 1;
                (key.to_owned(), expression)
            }
            other => return Err(SqlError::syntax(format!("{other} is no argument of {name}")).at(other.span().into())),
        };
        match key.as_str() {
            "DATA" => data = Some(expression),
            "TIMECOL" => time = Some(expression),
            key => {
                let known = order.iter().find(|known| **known == key).ok_or_else(|| {
                    SqlError::invalid(format!("{name} has no argument {key}"))
                        .at(argument.span().into())
                        .hint(format!("the arguments are DATA, TIMECOL, {}", order.join(", ")))
                })?;
                intervals.push((*known, expression));
            }
        }
    }
    match (data, time) {
        (Some(data), Some(time)) => Ok(Arguments { data, time, intervals }),
        _ => Err(SqlError::invalid(format!("{name} needs a table and a DESCRIPTOR of its time attribute"))
            .hint(format!("{name}(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)"))),
    }
}

fn descriptor(expression: &Expr) -> Result<&Ident, SqlError> {
    let wrong = || SqlError::invalid("the time attribute is given as DESCRIPTOR(column)").at(expression.span().into());
    let Expr::Function(function) = expression else { return Err(wrong()) };
    if !function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
        return Err(wrong());
    }
    match expressions(function)?.as_slice() {
        [Expr::Identifier(name)] => Ok(name),
        _ => Err(wrong()),
    }
}

/// A constant interval of days to milliseconds.
fn interval(expression: &Expr) -> Result<Millis, SqlError> {
    let span: Span = expression.span().into();
    let bound = ExpressionBinder::new(&Scope::empty(), "a window's size").bind(expression)?;
    match bound.kind {
        ExpressionKind::Literal(Literal::Milliseconds(millis)) => Ok(millis),
        ExpressionKind::Literal(Literal::Months(_)) => {
            Err(SqlError::invalid("a window can't be measured in months or years, which have no fixed length")
                .at(span)
                .hint("INTERVAL '30' DAY"))
        }
        _ => Err(SqlError::invalid("the sizes of a window are INTERVAL literals").at(span).hint("INTERVAL '1' MINUTE")),
    }
}

fn check(kind: WindowKind) -> Result<(), SqlError> {
    let (size, part, part_name) = match kind {
        WindowKind::Tumble { size, .. } => (size, size, "size"),
        WindowKind::Hop { size, slide, .. } => (size, slide, "slide"),
        WindowKind::Cumulate { size, step, .. } => (size, step, "step"),
    };
    if size <= 0 || part <= 0 {
        return Err(SqlError::invalid("the sizes of a window must be above zero"));
    }
    if size % part != 0 {
        return Err(SqlError::invalid(format!(
            "the size of the window, {size} ms, must be a multiple of its {part_name}, {part} ms"
        )));
    }
    Ok(())
}

/// A tree whose rows are in no window any more, for an aggregation that assigns windows itself. The
/// columns of the window are NULL (nothing reads them); the time column, where there is one, is
/// appended. None if something in between depends on the window.
pub(super) fn detach(tree: &Tree) -> Option<(Tree, Window)> {
    detached(tree).map(|(tree, window, _)| (tree, window))
}

fn detached(tree: &Tree) -> Option<(Tree, Window, Vec<usize>)> {
    match &tree.node {
        Node::WindowTableFunction { input, window } => {
            let count = input.columns.len();
            let mut projection: Vec<Expression> = input.identity();
            projection.extend(tree.columns[count..].iter().map(|column| literal::null(column.data_type.kind.clone())));
            let (projection, time) = with_time(projection, window.time, &input.columns);
            Some((
                calc(input.as_ref().clone(), None, projection, tree),
                Window { time, ..*window },
                (count..count + 3).collect(),
            ))
        }
        Node::Calc { input, filter, projection } => {
            let (input, window, gone) = detached(input)?;
            let uses = |expression: &Expression| {
                let mut found = false;
                expression
                    .walk(&mut |node| found |= matches!(node.kind, ExpressionKind::Column(c) if gone.contains(&c)));
                found
            };
            if filter.as_ref().is_some_and(uses) {
                return None;
            }
            let mut now_gone = Vec::new();
            let mut replaced = Vec::with_capacity(projection.len());
            for (index, expression) in projection.iter().enumerate() {
                match expression.kind {
                    ExpressionKind::Column(column) if gone.contains(&column) => {
                        now_gone.push(index);
                        replaced.push(literal::null(expression.data_type.kind.clone()));
                    }
                    _ if uses(expression) => return None,
                    _ => replaced.push(expression.clone()),
                }
            }
            let (projection, time) = with_time(replaced, window.time, &input.columns);
            Some((calc(input, filter.clone(), projection, tree), Window { time, ..window }, now_gone))
        }
        _ => None,
    }
}

/// Appends the time column.
fn with_time(
    mut projection: Vec<Expression>,
    time: WindowTime,
    input: &[crate::plan::Column],
) -> (Vec<Expression>, WindowTime) {
    match time {
        WindowTime::Processing => (projection, time),
        WindowTime::Event { column, local_time_zone } => {
            projection.push(Expression::column(column, input[column].data_type.clone()));
            let column = projection.len() - 1;
            (projection, WindowTime::Event { column, local_time_zone })
        }
    }
}

fn calc(input: Tree, filter: Option<Expression>, projection: Vec<Expression>, names: &Tree) -> Tree {
    let names = names.columns.iter().map(|column| column.name.clone()).chain(["$rowtime".to_owned()]);
    input.calc(filter, names.zip(projection).collect())
}
