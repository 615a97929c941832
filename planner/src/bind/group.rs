//! GROUP BY over windows: from the clauses of a SELECT to the projection before the aggregation, the
//! aggregation, and the expressions over its result. A GROUP BY without a window would have an updating
//! result and is refused by name. Not here: single calls (`aggregate.rs`), windows (`window.rs`).

use super::aggregate::{self, AggregateCalls, BoundCall, PROPERTIES, RESULTS};
use super::call;
use super::coerce;
use super::expression::ExpressionBinder;
use super::relation::{Node, Relation, Role, TimeKind, Tree, WindowOrigin, WindowRows, column};
use super::scope::Scope;
use super::window::{self, GroupWindow, window_bound, window_time};
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::plan::{AggregateCall, Window, WindowKind, WindowProperty, WindowTime};
use crate::types::TypeKind;
use sqlparser::ast::{Expr, GroupByExpr, Select, Spanned};

/// What a query groups by.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    /// Other than the window's.
    keys: Vec<Expression>,
    names: Vec<String>,
    has_start: bool,
    has_end: bool,
    group_window: Option<GroupWindow>,
}

/// The aggregation of a query, with what is needed to bind expressions over its result.
pub(super) struct Grouped {
    pub(super) relation: Relation,
    keys: Vec<Expression>,
    calls: usize,
    /// The roles of the columns before the aggregation.
    input_roles: Vec<Role>,
    input_names: Vec<String>,
    time: TimeKind,
}

impl Grouping {
    pub(super) fn bind(select: &Select, scope: &Scope<'_>) -> Result<Self, SqlError> {
        let expressions = match &select.group_by {
            GroupByExpr::Expressions(expressions, modifiers) if modifiers.is_empty() => expressions,
            _ => return Err(SqlError::unsupported("GROUP BY ALL, WITH ROLLUP and WITH CUBE")),
        };
        let mut grouping = Self::default();
        for expression in expressions {
            grouping.add(expression, select, scope)?;
        }
        Ok(grouping)
    }

    fn add(&mut self, expression: &Expr, select: &Select, scope: &Scope<'_>) -> Result<(), SqlError> {
        let span: Span = expression.span().into();
        match expression {
            Expr::Nested(inner) => return self.add(inner, select, scope),
            Expr::GroupingSets(_) => return Err(SqlError::unsupported("GROUPING SETS").at(span)),
            Expr::Rollup(_) => return Err(SqlError::unsupported("ROLLUP").at(span)),
            Expr::Cube(_) => return Err(SqlError::unsupported("CUBE").at(span)),
            Expr::Tuple(parts) => return parts.iter().try_for_each(|part| self.add(part, select, scope)),
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_uppercase();
                if window::is_group_window(&name) {
                    if self.group_window.is_some() {
                        return Err(SqlError::invalid("a query groups by one window only").at(span));
                    }
                    self.group_window = Some(window::group_window(&name, function, scope)?);
                    return Ok(());
                }
            }
            _ => {}
        }
        let bound = ExpressionBinder::new(scope, "GROUP BY")
            .bind(expression)
            .map_err(|error| alias_hint(error, expression, select))?;
        match &bound.kind {
            ExpressionKind::Column(index) if scope.roles[*index].is_window() => {
                self.has_start |= scope.roles[*index] == Role::WindowStart;
                self.has_end |= scope.roles[*index] == Role::WindowEnd;
                return Ok(());
            }
            ExpressionKind::Literal(Literal::Integer(_)) => {
                return Err(SqlError::invalid("GROUP BY takes no positions")
                    .at(span)
                    .hint("write the column or expression itself"));
            }
            _ => {}
        }
        if !self.keys.contains(&bound) {
            self.names.push(super::select::output_name(expression).unwrap_or_else(|| format!("$k{}", self.keys.len())));
            self.keys.push(bound);
        }
        Ok(())
    }

    pub(super) fn group_window(&self) -> Option<GroupWindow> {
        self.group_window
    }

    /// The window to aggregate in, with the rows that go into it.
    fn window(&self, relation: &Relation, span: Span) -> Result<(Tree, Window, TimeKind), SqlError> {
        let tree = &relation.tree;
        if let Some(GroupWindow { kind, time, column }) = self.group_window {
            let time_column = match (time, column) {
                (TimeKind::Event { local_time_zone }, Some(column)) => WindowTime::Event { column, local_time_zone },
                _ => WindowTime::Processing,
            };
            return Ok((tree.clone(), Window { kind, time: time_column }, time));
        }
        let Some(origin) = relation.window.filter(|_| self.has_start || self.has_end) else {
            let what = if self.keys.is_empty() { "an aggregation" } else { "GROUP BY" };
            return Err(SqlError::unsupported(format!("{what} without a window (its result would be updated with every row)"))
                .at(span)
                .hint("group by window_start and window_end of FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"));
        };
        if !(self.has_start && self.has_end) {
            let missing = if self.has_start { "window_end" } else { "window_start" };
            return Err(SqlError::unsupported(format!(
                "GROUP BY a window without {missing} (its result would be updated)"
            ))
            .at(span)
            .hint(format!("add {missing} to GROUP BY")));
        }
        if origin.rows == WindowRows::Assigned
            && let Some((tree, window)) = window::detach(tree)
        {
            return Ok((tree, window, origin.time));
        }
        let (tree, window) = again(relation, origin, span)?;
        Ok((tree, window, origin.time))
    }

    /// Adds the aggregation to the tree.
    pub(super) fn aggregate(self, relation: Relation, calls: &AggregateCalls, span: Span) -> Result<Grouped, SqlError> {
        let (tree, window, time) = self.window(&relation, span)?;
        let input_roles = relation.roles.clone();
        let input_names = relation.column_names().map(str::to_owned).collect();
        let (tree, window, calls) = prepared(tree, window, &self.keys, &self.names, &calls.calls);
        let mut properties = vec![WindowProperty::Start, WindowProperty::End];
        if matches!(time, TimeKind::Event { .. }) {
            properties.push(WindowProperty::Time);
        }
        let mut columns = tree.columns[..self.keys.len()].to_vec();
        columns.extend(calls.iter().enumerate().map(|(index, call)| column(&format!("$a{index}"), &call.data_type)));
        columns.push(column("window_start", &window_bound()));
        columns.push(column("window_end", &window_bound()));
        let mut roles = vec![Role::Plain; self.keys.len() + calls.len()];
        roles.extend([Role::WindowStart, Role::WindowEnd]);
        if matches!(time, TimeKind::Event { .. }) {
            columns.push(column("window_time", &window_time(time)));
            roles.push(Role::WindowTime);
        }
        let origin = WindowOrigin { kind: window.kind, time, rows: WindowRows::Aggregated };
        let count = calls.len();
        let node = Node::WindowAggregate {
            input: Box::new(tree),
            window,
            keys: (0..self.keys.len()).collect(),
            calls,
            properties,
        };
        let relation = Relation { tree: Tree { node, columns }, roles, window: Some(origin) };
        Ok(Grouped { relation, keys: self.keys, calls: count, input_roles, input_names, time })
    }
}

/// An alias of the select list is no column for GROUP BY.
fn alias_hint(error: SqlError, expression: &Expr, select: &Select) -> SqlError {
    let Expr::Identifier(name) = expression else { return error };
    let aliased = select.projection.iter().find_map(|item| match item {
        sqlparser::ast::SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr),
        _ => None,
    });
    match aliased {
        Some(expression) => error.hint(format!("GROUP BY takes no alias of the select list: write {expression}")),
        None => error,
    }
}

/// An aggregation over rows that carry their window already: the results of another one, mostly.
fn again(relation: &Relation, origin: WindowOrigin, span: Span) -> Result<(Tree, Window), SqlError> {
    let name = match (origin.kind, origin.time) {
        (WindowKind::Tumble { .. }, TimeKind::Event { .. }) => None,
        (WindowKind::Tumble { .. }, TimeKind::Processing) => Some("a processing-time TUMBLE"),
        (WindowKind::Hop { .. }, _) => Some("HOP"),
        (WindowKind::Cumulate { .. }, _) => Some("CUMULATE"),
    };
    if let Some(name) = name {
        let what = match origin.rows {
            WindowRows::Assigned => "an expression between aggregation and",
            WindowRows::Aggregated => "a second aggregation over",
            WindowRows::Joined => "an aggregation of joined rows over",
        };
        return Err(SqlError::unsupported(format!("{what} the windows of {name}")).at(span));
    }
    let TimeKind::Event { local_time_zone } = origin.time else {
        return Err(SqlError::unsupported("a second aggregation over processing-time windows").at(span));
    };
    let tree = relation.tree.clone();
    let position = |wanted: Role| relation.roles.iter().position(|role| *role == wanted);
    if let Some(column) = position(Role::WindowTime) {
        return Ok((tree, Window { kind: origin.kind, time: WindowTime::Event { column, local_time_zone } }));
    }
    match position(Role::WindowEnd) {
        Some(end) => {
            let mut projection: Vec<(String, Expression)> =
                relation.column_names().map(str::to_owned).zip(tree.identity()).collect();
            let millisecond = super::literal::constant(Literal::Milliseconds(1), TypeKind::IntervalDayTime);
            let end = Expression::column(end, window_bound());
            let last = call::node("DATETIME_MINUS", vec![end, millisecond], window_bound());
            projection.push(("$rowtime".to_owned(), coerce::cast(last, &window_time(origin.time).kind)));
            let column = projection.len() - 1;
            let window = Window { kind: origin.kind, time: WindowTime::Event { column, local_time_zone } };
            Ok((tree.calc(None, projection), window))
        }
        _ => Err(SqlError::invalid("a second aggregation over windows needs their window_time")
            .at(span)
            .hint("select window_time in the inner query and group by it there")),
    }
}

/// The columns that the aggregation reads, in front of it: keys, arguments, filters, the time column.
fn prepared(
    tree: Tree,
    window: Window,
    keys: &[Expression],
    names: &[String],
    calls: &[BoundCall],
) -> (Tree, Window, Vec<AggregateCall>) {
    let mut projection: Vec<(String, Expression)> = names.iter().cloned().zip(keys.iter().cloned()).collect();
    let mut place = |expression: &Expression, tree: &Tree| {
        // Keys may be arguments as well, but an argument that is a key of its own is rare: share all.
        if let Some(index) = projection.iter().position(|(_, other)| other == expression) {
            return index;
        }
        let name = match expression.kind {
            ExpressionKind::Column(index) => tree.columns[index].name.clone(),
            _ => format!("$f{}", projection.len()),
        };
        projection.push((name, expression.clone()));
        projection.len() - 1
    };
    let calls = calls
        .iter()
        .map(|call| AggregateCall {
            function: call.function,
            argument: call.argument.as_ref().map(|argument| place(argument, &tree)),
            argument_type: call.argument.as_ref().map(|argument| argument.data_type.clone()),
            distinct: call.distinct,
            filter: call.filter.as_ref().map(|filter| place(filter, &tree)),
            data_type: call.data_type.clone(),
            partial: aggregate::partial(
                call.function,
                call.argument.as_ref().map(|argument| &argument.data_type),
                call.distinct,
            ),
        })
        .collect();
    let time = match window.time {
        WindowTime::Processing => WindowTime::Processing,
        WindowTime::Event { column, local_time_zone } => {
            let time = Expression::column(column, tree.columns[column].data_type.clone());
            WindowTime::Event { column: place(&time, &tree), local_time_zone }
        }
    };
    (tree.calc(None, projection), Window { time, ..window }, calls)
}

impl Grouped {
    /// An expression over the rows and the calls, as one over the aggregation's result.
    pub(super) fn over_result(&self, expression: Expression, span: Span) -> Result<Expression, SqlError> {
        let keys = self.keys.len();
        if let Some(index) = self.keys.iter().position(|key| *key == expression) {
            return Ok(Expression::column(index, expression.data_type));
        }
        let Expression { kind, data_type } = expression;
        let below = |input: Expression| self.over_result(input, span);
        let kind = match kind {
            ExpressionKind::Column(index) if index >= PROPERTIES => {
                return Ok(self.property(index - PROPERTIES));
            }
            ExpressionKind::Column(index) if index >= RESULTS => ExpressionKind::Column(keys + index - RESULTS),
            ExpressionKind::Column(index) => {
                return match self.input_roles[index] {
                    Role::WindowStart => Ok(self.property(0)),
                    Role::WindowEnd => Ok(self.property(1)),
                    Role::WindowTime => Ok(self.property(2)),
                    _ => Err(self.not_grouped(index, span)),
                };
            }
            ExpressionKind::Literal(value) => ExpressionKind::Literal(value),
            ExpressionKind::Call { function, arguments } => {
                let arguments = arguments.into_iter().map(below).collect::<Result<_, _>>()?;
                ExpressionKind::Call { function, arguments }
            }
            ExpressionKind::Cast { input, try_cast } => {
                ExpressionKind::Cast { input: Box::new(below(*input)?), try_cast }
            }
            ExpressionKind::Field { input, index } => ExpressionKind::Field { input: Box::new(below(*input)?), index },
            ExpressionKind::Case { branches, otherwise } => {
                let mut bound = Vec::with_capacity(branches.len());
                for (condition, result) in branches {
                    bound.push((below(condition)?, below(result)?));
                }
                ExpressionKind::Case { branches: bound, otherwise: Box::new(below(*otherwise)?) }
            }
        };
        Ok(Expression { kind, data_type })
    }

    fn property(&self, index: usize) -> Expression {
        // The time of a processing-time window is the clock's when it is read.
        if index == 2 && self.time == TimeKind::Processing {
            return call::node("PROCTIME", Vec::new(), window_time(self.time));
        }
        let column = self.keys.len() + self.calls + index;
        Expression::column(column, self.relation.tree.columns[column].data_type.clone())
    }

    fn not_grouped(&self, index: usize, span: Span) -> SqlError {
        let name = &self.input_names[index];
        SqlError::invalid(format!("the column `{name}` is neither grouped nor aggregated"))
            .at(span)
            .hint(format!("add `{name}` to GROUP BY, or use MIN(`{name}`) or MAX(`{name}`)"))
    }
}
