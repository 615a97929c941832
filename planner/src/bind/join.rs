//! The tables of a FROM, and the join of them: an inner join of rows in the same window. Which part of ON, USING
//! and WHERE is a key, a bound of the window or a condition on pairs of rows is decided here. Not here: other
//! kinds of joins, which are refused by name, and where conditions on one side are evaluated (`optimise/`).

use super::expression::ExpressionBinder;
use super::operator;
use super::query::Source;
use super::relation::{Node, Relation, Role, TimeKind, Tree, WindowOrigin, WindowRows};
use super::scope::{Scope, ScopeTable};
use crate::ast::Span;
use crate::error::SqlError;
use crate::explain;
use crate::expression::{Expression, ExpressionKind};
use crate::plan::{Column, JoinSide, WindowJoin};
use crate::types::TypeKind;
use sqlparser::ast::{Ident, Join, JoinConstraint, JoinOperator, ObjectName, Spanned};

const HOW_TO: &str = "rows of the same window can be joined: FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' \
     MINUTE)) AS l JOIN TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS r ON l.k = r.k AND \
     l.window_start = r.window_start AND l.window_end = r.window_end";

/// What stands in FROM. The columns are those of all tables, one after another, by the names that they have there.
#[derive(Default)]
pub(super) struct From {
    /// Until they are joined.
    relations: Vec<Relation>,
    /// For each table after the first, the conditions that ON or USING put.
    conditions: Vec<Vec<Expression>>,
    tables: Vec<ScopeTable>,
    spans: Vec<Span>,
    columns: Vec<Column>,
    roles: Vec<Role>,
    merged: Vec<(usize, usize)>,
}

/// The constraint of a join that is an inner one.
pub(super) fn constraint(join: &Join) -> Result<&JoinConstraint, SqlError> {
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
            Ok(constraint)
        }
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Err("LEFT JOIN"),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Err("RIGHT JOIN"),
        JoinOperator::FullOuter(_) => Err("FULL OUTER JOIN"),
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => Err("SEMI JOIN"),
        JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => Err("ANTI JOIN"),
        _ => Err("this kind of JOIN"),
    };
    match constraint {
        Ok(JoinConstraint::Natural) => Err("NATURAL JOIN"),
        other => other,
    }
    .map_err(|name| SqlError::unsupported(name).at(join.relation.span().into()))
}

impl From {
    pub(super) fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    pub(super) fn add(&mut self, source: Source, span: Span) -> Result<(), SqlError> {
        let Source { relation, qualifier } = source;
        if !qualifier.is_empty() && self.tables.iter().any(|table| table.qualifier == qualifier) {
            return Err(SqlError::invalid(format!("two tables in FROM are called `{}`", qualifier.join("`.`")))
                .at(span)
                .hint("give one of them another name with AS"));
        }
        let first = self.columns.len();
        self.columns.extend_from_slice(&relation.tree.columns);
        self.roles.extend_from_slice(&relation.roles);
        self.tables.push(ScopeTable { qualifier, columns: first..self.columns.len() });
        self.spans.push(span);
        if !self.relations.is_empty() {
            self.conditions.push(Vec::new());
        }
        self.relations.push(relation);
        Ok(())
    }

    /// What can be named by the clauses of the query.
    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { columns: &self.columns, roles: &self.roles, tables: &self.tables, merged: &self.merged }
    }

    /// Says how the last table is joined with those before it.
    pub(super) fn constrain(&mut self, constraint: &JoinConstraint) -> Result<(), SqlError> {
        let conditions = match constraint {
            JoinConstraint::On(condition) => {
                conjuncts(ExpressionBinder::new(&self.scope(), "ON").condition(condition)?)
            }
            JoinConstraint::Using(names) => names.iter().map(|name| self.merge(name)).collect::<Result<Vec<_>, _>>()?,
            JoinConstraint::Natural | JoinConstraint::None => return Ok(()),
        };
        if let Some(last) = self.conditions.last_mut() {
            last.extend(conditions);
        }
        Ok(())
    }

    /// A column of USING: one of the tables so far, and one of the last.
    fn merge(&mut self, name: &ObjectName) -> Result<Expression, SqlError> {
        let span: Span = name.span().into();
        let names: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let [only] = names.as_slice() else {
            return Err(SqlError::syntax("USING takes names of columns without their tables").at(span));
        };
        let last = self.tables.last().map_or(0, |table| table.columns.start);
        let side = |columns: std::ops::Range<usize>| {
            let (first, roles) = (columns.start, &self.roles[columns.clone()]);
            // Of the last table no column is merged yet, but those of this USING.
            let merged: &[(usize, usize)] = if first == 0 { &self.merged } else { &[] };
            let scope = Scope { merged, ..Scope::of(&self.columns[columns], roles) };
            let found = scope.resolve(std::slice::from_ref(only))?;
            match found.kind {
                ExpressionKind::Column(index) => Ok(Expression::column(first + index, found.data_type)),
                _ => Err(SqlError::syntax("USING takes names of columns").at(span)),
            }
        };
        let (left, right) = (side(0..last)?, side(last..self.columns.len())?);
        if let (ExpressionKind::Column(left), ExpressionKind::Column(right)) = (&left.kind, &right.kind) {
            self.merged.push((*left, *right));
        }
        operator::compare("EQUALS", left, right).map_err(|error| error.at(span))
    }

    /// Joins the tables, with what WHERE says of several of them; the rest of WHERE filters the result.
    pub(super) fn join(&mut self, filter: Option<Expression>) -> Result<Relation, SqlError> {
        let mut relations = std::mem::take(&mut self.relations).into_iter();
        let first = relations.next().expect("FROM has a table, if only that of one row");
        let mut filter = match filter {
            Some(filter) if self.tables.len() > 1 => conjuncts(filter),
            filter => filter.into_iter().collect(),
        };
        let mut joined = self.join_all(first, relations, &mut filter)?;
        if let Some(filter) = filter.into_iter().reduce(operator::and) {
            joined.tree = joined.tree.filter(filter);
        }
        Ok(joined)
    }

    fn join_all(
        &mut self,
        mut joined: Relation,
        relations: impl Iterator<Item = Relation>,
        filter: &mut Vec<Expression>,
    ) -> Result<Relation, SqlError> {
        for (number, relation) in relations.enumerate() {
            let right = &self.tables[number + 1];
            let mut conditions = std::mem::take(&mut self.conditions[number]);
            // Conditions on one side alone stay in the filter, and sink from there.
            conditions.extend(filter.extract_if(.., |part| {
                let columns = columns_of(part);
                columns.iter().any(|column| *column < right.columns.start)
                    && columns.iter().any(|column| right.columns.contains(column))
                    && columns.iter().all(|column| *column < right.columns.end)
            }));
            let names = [&self.tables[number], right].map(|table| table.qualifier.last().map(String::as_str));
            let span = self.spans[number + 1];
            joined = Pair::new(&joined, &relation)
                .sorted(conditions)
                .check(names)
                .map_err(|error| error.at(span))
                .map(|(window, conditions)| window_join(joined, relation, window, conditions))?;
        }
        Ok(joined)
    }
}

/// The two sides of a join, by what their columns are.
struct Pair<'r> {
    left: &'r Relation,
    right: &'r Relation,
    conditions: Conditions,
}

#[derive(Default)]
struct Conditions {
    /// Pairs of expressions, each over its own side.
    keys: Vec<(Expression, Expression)>,
    has_start: bool,
    /// The columns `window_end`, each of its own side.
    ends: Option<(usize, usize)>,
    /// Over the columns of both sides.
    others: Vec<Expression>,
}

impl<'r> Pair<'r> {
    fn new(left: &'r Relation, right: &'r Relation) -> Self {
        Self { left, right, conditions: Conditions::default() }
    }

    fn sorted(mut self, conditions: Vec<Expression>) -> Self {
        for condition in conditions {
            match self.equality(&condition) {
                Some((left, right)) => self.add_equality(left, right, condition),
                None => self.conditions.others.push(condition),
            }
        }
        self
    }

    /// The sides of `left = right`, each over the columns of its own side.
    fn equality(&self, condition: &Expression) -> Option<(Expression, Expression)> {
        let ExpressionKind::Call { function, arguments } = &condition.kind else { return None };
        let [one, other] = arguments.as_slice() else { return None };
        if function.name() != "EQUALS" {
            return None;
        }
        let count = self.left.tree.columns.len();
        let is_left = |e: &Expression| columns_of(e).iter().all(|column| *column < count);
        let is_right = |e: &Expression| columns_of(e).iter().all(|column| *column >= count);
        let has_columns = |e: &Expression| !columns_of(e).is_empty();
        match (one, other) {
            (one, other) if !has_columns(one) || !has_columns(other) => None,
            (left, right) | (right, left) if is_left(left) && is_right(right) => {
                Some((left.clone(), moved(right.clone(), &|column| column - count)))
            }
            _ => None,
        }
    }

    fn add_equality(&mut self, left: Expression, right: Expression, condition: Expression) {
        let role = |relation: &Relation, e: &Expression| match e.kind {
            ExpressionKind::Column(column) => relation.roles[column],
            _ => Role::Plain,
        };
        let conditions = &mut self.conditions;
        match (role(self.left, &left), role(self.right, &right)) {
            (Role::WindowStart, Role::WindowStart) => conditions.has_start = true,
            (Role::WindowEnd, Role::WindowEnd) => {
                if let (ExpressionKind::Column(left), ExpressionKind::Column(right)) = (left.kind, right.kind) {
                    conditions.ends = Some((left, right));
                }
            }
            // It follows from the window's bounds.
            (Role::WindowTime, Role::WindowTime) => {}
            _ if is_key(&left.data_type.kind) && is_key(&right.data_type.kind) => {
                if !conditions.keys.contains(&(left.clone(), right.clone())) {
                    conditions.keys.push((left, right));
                }
            }
            _ => conditions.others.push(condition),
        }
    }

    /// The window that both sides are in; an error where this is no window join, or not one that can be run.
    fn check(self, names: [Option<&str>; 2]) -> Result<(WindowOrigin, Conditions), SqlError> {
        let Conditions { has_start, ends, .. } = &self.conditions;
        let has_bound = *has_start || ends.is_some();
        let (left, right) = match (self.left.window, self.right.window) {
            (Some(left), Some(right)) if has_bound => (left, right),
            _ => return Err(self.not_of_windows()),
        };
        if left.time == TimeKind::Processing || right.time == TimeKind::Processing {
            return Err(SqlError::unsupported("a window join over processing-time windows")
                .hint("use event-time attributes: columns with a WATERMARK"));
        }
        if left.kind != right.kind {
            let [left, right] = [left, right].map(|window| explain::window_kind(window.kind));
            return Err(SqlError::unsupported(format!("a window join of different windows, {left} and {right},"))
                .hint("use the same function with the same intervals on both sides"));
        }
        if left.time != right.time {
            return Err(SqlError::unsupported("a window join of windows over a TIMESTAMP and over a TIMESTAMP_LTZ")
                .hint("use time attributes of one type"));
        }
        let missing = match (has_start, ends) {
            (true, Some(_)) => return Ok((left, self.conditions)),
            (true, None) => "window_end",
            _ => "window_start",
        };
        let [left, right] = [names[0].unwrap_or("l"), names[1].unwrap_or("r")];
        Err(SqlError::unsupported(format!("a window join without an equality of {missing}"))
            .hint(format!("add to ON: `{left}`.{missing} = `{right}`.{missing}")))
    }

    fn not_of_windows(&self) -> SqlError {
        let roles: Vec<Role> = self.left.roles.iter().chain(&self.right.roles).copied().collect();
        let is_time = |column: &usize| matches!(roles[*column], Role::Rowtime | Role::Proctime);
        let compares_times = |part: &Expression| columns_of(part).iter().filter(|column| is_time(column)).count() > 1;
        let name = if self.conditions.others.iter().any(compares_times) {
            "an interval join"
        } else if self.left.window.is_some() && self.right.window.is_some() {
            "a JOIN of windows without equalities of window_start and window_end"
        } else if self.left.window.is_some() || self.right.window.is_some() {
            "a JOIN of rows in windows with rows in none"
        } else {
            "a regular JOIN (of rows of any time)"
        };
        SqlError::unsupported(name).hint(HOW_TO)
    }
}

/// Whether rows can be found by values of this type.
fn is_key(kind: &TypeKind) -> bool {
    !matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) | TypeKind::Null)
}

fn window_join(left: Relation, right: Relation, window: WindowOrigin, conditions: Conditions) -> Relation {
    let (left_count, right_count) = (left.tree.columns.len(), right.tree.columns.len());
    let Conditions { keys, ends, others, .. } = conditions;
    let (left_end, right_end) = ends.expect("checked before");
    let (left_keys, right_keys) = keys.into_iter().unzip();
    let (left_tree, left_side) = side(left.tree, left_keys, left_end);
    let (right_tree, right_side) = side(right.tree, right_keys, right_end);
    let new_count = left_tree.columns.len();
    let place = |column: usize| if column < left_count { column } else { new_count + column - left_count };
    let join = WindowJoin {
        window: window.kind,
        local_time_zone: window.time == TimeKind::Event { local_time_zone: true },
        left: left_side,
        right: right_side,
        condition: others.into_iter().reduce(operator::and).map(|condition| moved(condition, &place)),
        output: (0..left_count + right_count).map(place).collect(),
    };
    let mut columns: Vec<Column> = Vec::with_capacity(left_count + right_count);
    for Column { name, data_type } in left_tree.columns[..left_count].iter().chain(&right_tree.columns[..right_count]) {
        let name = unique(name, |name| columns.iter().any(|column| column.name == name));
        columns.push(Column { name, data_type: data_type.clone() });
    }
    let roles = left.roles.into_iter().chain(right.roles).collect();
    let node = Node::WindowJoin { left: Box::new(left_tree), right: Box::new(right_tree), join };
    let window = Some(WindowOrigin { rows: WindowRows::Joined, ..window });
    Relation { tree: Tree { node, columns }, roles, window }
}

/// A side of the join, with computed keys as columns behind its own.
fn side(tree: Tree, keys: Vec<Expression>, window_end: usize) -> (Tree, JoinSide) {
    let mut computed: Vec<(String, Expression)> = Vec::new();
    let count = tree.columns.len();
    let keys = keys.into_iter().enumerate().map(|(number, key)| match key.kind {
        ExpressionKind::Column(column) => column,
        _ => {
            computed.push((format!("$key{number}"), key));
            count + computed.len() - 1
        }
    });
    let side = JoinSide { keys: keys.collect(), window_end };
    if computed.is_empty() {
        return (tree, side);
    }
    let names = tree.columns.iter().map(|column| column.name.clone());
    let projection = names.zip(tree.identity()).chain(computed).collect();
    (tree.calc(None, projection), side)
}

/// The name, with the first number behind it that makes it one of its own.
pub(super) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (0_usize..).map(|number| format!("{name}{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).expect("there are enough numbers")
}

fn conjuncts(condition: Expression) -> Vec<Expression> {
    match condition.kind {
        ExpressionKind::Call { function, arguments } if function.name() == "AND" => arguments,
        kind => vec![Expression { kind, data_type: condition.data_type }],
    }
}

fn columns_of(expression: &Expression) -> Vec<usize> {
    let mut columns = Vec::new();
    expression.walk(&mut |node| {
        if let ExpressionKind::Column(column) = node.kind {
            columns.push(column);
        }
    });
    columns
}

/// The expression with its columns elsewhere.
fn moved(expression: Expression, place: &dyn Fn(usize) -> usize) -> Expression {
    match expression.kind {
        ExpressionKind::Column(column) => Expression { kind: ExpressionKind::Column(place(column)), ..expression },
        _ => expression.map_inputs(&|input| moved(input, place)),
    }
}
