//! Queries: WITH, UNION ALL, VALUES, and what can stand in FROM. Not here: SELECT (`select.rs`) and
//! tables of the catalogue (`table.rs`).

use super::coerce::{cast, common};
use super::expression::ExpressionBinder;
use super::join::{self, From};
use super::relation::{Node, Relation, Role, Tree, column};
use super::scope::Scope;
use super::{literal, select, table, window};
use crate::ast::Span;
use crate::catalog::Catalog;
use crate::error::{SqlError, SqlWarning};
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::parse::{TableOption, table_hints};
use crate::types::{DataType, TypeKind};
use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias,
    TableFactor, TableWithJoins, Values,
};

/// Views inside views, and queries inside queries.
const MAX_DEPTH: usize = 64;

pub(crate) struct QueryBinder<'a> {
    pub(super) catalog: &'a Catalog,
    /// What WITH names, the innermost last.
    with: Vec<(String, Relation)>,
    depth: usize,
    /// What hints in the queries gave reason to.
    pub(crate) warnings: Vec<SqlWarning>,
}

/// What stands in FROM, and the name it goes by.
pub(super) struct Source {
    pub(super) relation: Relation,
    pub(super) qualifier: Vec<String>,
}

impl<'a> QueryBinder<'a> {
    pub(crate) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, with: Vec::new(), depth: 0, warnings: Vec::new() }
    }

    /// A view's query, which sees no name of a WITH around it.
    pub(super) fn view(&mut self, query: &Query) -> Result<Relation, SqlError> {
        let outer = std::mem::take(&mut self.with);
        let bound = self.query(query);
        self.with = outer;
        bound
    }

    pub(crate) fn query(&mut self, query: &Query) -> Result<Relation, SqlError> {
        let span: Span = query.span().into();
        if self.depth == MAX_DEPTH {
            return Err(SqlError::invalid(format!("queries and views are nested more than {MAX_DEPTH} deep")).at(span));
        }
        refuse(query)?;
        let outer = self.with.len();
        self.depth += 1;
        let bound = self.with_then_body(query);
        self.depth -= 1;
        self.with.truncate(outer);
        bound.map_err(|error| error.at(span))
    }

    fn with_then_body(&mut self, query: &Query) -> Result<Relation, SqlError> {
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(SqlError::unsupported("WITH RECURSIVE").at(with.span().into()));
            }
            for cte in &with.cte_tables {
                let mut relation = self.query(&cte.query)?;
                rename(&mut relation, &cte.alias)?;
                self.with.push((cte.alias.name.value.clone(), relation));
            }
        }
        self.set_expression(&query.body)
    }

    fn set_expression(&mut self, body: &SetExpr) -> Result<Relation, SqlError> {
        match body {
            SetExpr::Select(select) => select::bind(self, select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
                let (left_relation, right_relation) = (self.set_expression(left)?, self.set_expression(right)?);
                union(left_relation, right_relation).map_err(|error| error.at(right.span().into()))
            }
            SetExpr::SetOperation { op, set_quantifier, right, .. } => {
                let all = if *set_quantifier == SetQuantifier::All { " ALL" } else { "" };
                let error = SqlError::unsupported(format!("{op}{all}")).at(right.span().into());
                Err(if *op == SetOperator::Union {
                    error.hint("UNION ALL keeps duplicates, and is supported")
                } else {
                    error
                })
            }
            other => Err(SqlError::unsupported("this kind of query").at(other.span().into())),
        }
    }

    /// FROM. Its tables are bound, and not joined yet: WHERE may say how.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<From, SqlError> {
        let mut bound = From::default();
        if from.is_empty() {
            bound.add(Source { relation: nothing(), qualifier: Vec::new() }, Span::default())?;
        }
        for (number, table) in from.iter().enumerate() {
            if number > 0 && !table.joins.is_empty() {
                return Err(SqlError::unsupported("JOIN after a comma in FROM").at(table.span().into()));
            }
            self.table_with_joins(table, &mut bound)?;
        }
        Ok(bound)
    }

    fn table_with_joins(&mut self, table: &TableWithJoins, bound: &mut From) -> Result<(), SqlError> {
        match &table.relation {
            TableFactor::NestedJoin { table_with_joins, alias: None } if bound.is_empty() => {
                self.table_with_joins(table_with_joins, bound)?;
            }
            factor => bound.add(self.factor(factor)?, factor.span().into())?,
        }
        for join in &table.joins {
            let constraint = join::constraint(join)?;
            bound.add(self.factor(&join.relation)?, join.relation.span().into())?;
            bound.constrain(constraint)?;
        }
        Ok(())
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<Source, SqlError> {
        let span: Span = factor.span().into();
        match factor {
            TableFactor::Table { version: Some(_), .. } => {
                Err(SqlError::unsupported("FOR SYSTEM_TIME AS OF (a temporal join)").at(span))
            }
            TableFactor::Table { sample: Some(_), .. } => Err(SqlError::unsupported("TABLESAMPLE").at(span)),
            TableFactor::Table { name, alias, .. } => {
                let (parts, place) = name_parts(name);
                let relation = self.named(&parts, place, &table_hints(factor))?;
                aliased(relation, parts, alias.as_ref())
            }
            TableFactor::Derived { lateral: true, .. } => Err(SqlError::unsupported("LATERAL").at(span)),
            TableFactor::Derived { subquery, alias, .. } => {
                let relation = self.query(subquery)?;
                aliased(relation, Vec::new(), alias.as_ref())
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let relation = window::table_function(function, |argument| self.table_argument(argument))?;
                aliased(relation, Vec::new(), alias.as_ref())
            }
            TableFactor::NestedJoin { .. } => Err(SqlError::unsupported("a JOIN in brackets").at(span)),
            TableFactor::UNNEST { .. } => Err(SqlError::unsupported("UNNEST").at(span)),
            TableFactor::Function { lateral: true, .. } => Err(SqlError::unsupported("LATERAL TABLE").at(span)),
            TableFactor::MatchRecognize { .. } => Err(SqlError::unsupported("MATCH_RECOGNIZE").at(span)),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => Err(SqlError::unsupported("PIVOT").at(span)),
            _ => Err(SqlError::unsupported("this form in FROM").at(span)),
        }
    }

    /// `TABLE t` or `(SELECT …)` as the argument of a table function.
    fn table_argument(&mut self, argument: &Expr) -> Result<Relation, SqlError> {
        let names: &[Ident] = match argument {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(names) => names,
            Expr::Subquery(query) => return self.query(query),
            Expr::Nested(inner) => return self.table_argument(inner),
            other => {
                return Err(SqlError::invalid("a window's first argument is a table: TABLE t, or (SELECT …)")
                    .at(other.span().into()));
            }
        };
        let parts: Vec<String> = names.iter().map(|name| name.value.clone()).collect();
        self.named(&parts, argument.span().into(), &[])
    }

    /// A name of WITH, a view or a table.
    fn named(&mut self, parts: &[String], span: Span, hints: &[TableOption]) -> Result<Relation, SqlError> {
        if let [name] = parts
            && let Some((_, relation)) = self.with.iter().rev().find(|(known, _)| known == name)
        {
            return Ok(relation.clone());
        }
        table::bind(self, parts, span, hints).map_err(|error| error.at(span))
    }

    fn values(&mut self, values: &Values) -> Result<Relation, SqlError> {
        let scope = Scope::empty();
        let mut rows: Vec<Vec<Expression>> = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let mut bound = Vec::with_capacity(row.content.len());
            for value in &row.content {
                bound.push(ExpressionBinder::new(&scope, "VALUES").bind(value)?);
            }
            if rows.first().is_some_and(|first| first.len() != bound.len()) {
                return Err(
                    SqlError::invalid("the rows of VALUES have different numbers of columns").at(values.span().into())
                );
            }
            rows.push(bound);
        }
        constant_rows(rows).map_err(|error| error.at(values.span().into()))
    }
}

/// Rows of expressions that use no column, in the common type of each column.
fn constant_rows(rows: Vec<Vec<Expression>>) -> Result<Relation, SqlError> {
    let mut types: Vec<DataType> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for (index, value) in row.iter().enumerate() {
            if number == 0 {
                types.push(value.data_type.clone());
                continue;
            }
            let kind = common(&types[index].kind, &value.data_type.kind).ok_or_else(|| {
                SqlError::invalid(format!(
                    "column {} of VALUES has no common type: {} and {}",
                    index + 1,
                    types[index].kind,
                    value.data_type.kind
                ))
            })?;
            types[index] = DataType { kind, nullable: types[index].nullable || value.data_type.nullable };
        }
    }
    let columns: Vec<_> =
        types.iter().enumerate().map(|(index, data_type)| column(&format!("EXPR${index}"), data_type)).collect();
    let mut constants = Vec::new();
    let mut computed = Vec::new();
    for row in rows {
        let row: Vec<Expression> =
            row.into_iter().zip(&types).map(|(value, data_type)| cast(value, &data_type.kind)).collect();
        match row.iter().map(literal_value).collect::<Option<Vec<Literal>>>() {
            Some(row) => constants.push(row),
            None => computed.push(row),
        }
    }
    let mut inputs = Vec::new();
    if !constants.is_empty() {
        inputs.push(Tree { node: Node::Values { rows: constants }, columns: columns.clone() });
    }
    for row in computed {
        let named = columns.iter().map(|column| column.name.clone()).zip(row).collect();
        let mut tree = nothing().tree.calc(None, named);
        tree.columns.clone_from(&columns);
        inputs.push(tree);
    }
    let tree = match inputs.len() {
        1 => inputs.swap_remove(0),
        _ => Tree { node: Node::Union { inputs }, columns },
    };
    Ok(Relation::plain(tree))
}

fn literal_value(expression: &Expression) -> Option<Literal> {
    match &expression.kind {
        ExpressionKind::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

/// One row, for a SELECT without FROM. No name reaches its column.
fn nothing() -> Relation {
    let zero = literal::int(0);
    let columns = vec![column("", &zero.data_type)];
    Relation::plain(Tree { node: Node::Values { rows: vec![vec![Literal::Integer(0)]] }, columns })
}

fn union(left: Relation, right: Relation) -> Result<Relation, SqlError> {
    if left.tree.columns.len() != right.tree.columns.len() {
        return Err(SqlError::invalid(format!(
            "UNION ALL needs the same number of columns on both sides, but they have {} and {}",
            left.tree.columns.len(),
            right.tree.columns.len()
        )));
    }
    let mut columns = left.tree.columns.clone();
    for (column, other) in columns.iter_mut().zip(&right.tree.columns) {
        let (l, r) = (&column.data_type, &other.data_type);
        let kind = common(&l.kind, &r.kind).ok_or_else(|| {
            SqlError::invalid(format!(
                "the column `{}` of UNION ALL has no common type: {} and {}",
                column.name, l.kind, r.kind
            ))
            .hint("CAST one of them")
        })?;
        column.data_type = DataType { kind, nullable: l.nullable || r.nullable };
    }
    let roles = left
        .roles
        .iter()
        .zip(&right.roles)
        .map(|(l, r)| match (l, r) {
            (Role::Rowtime | Role::WindowTime, Role::Rowtime | Role::WindowTime) => Role::Rowtime,
            (Role::Proctime, Role::Proctime) => Role::Proctime,
            _ => Role::Plain,
        })
        .collect();
    let inputs = [left, right].into_iter().map(|relation| converted(relation.tree, &columns)).collect();
    Ok(Relation { tree: Tree { node: Node::Union { inputs }, columns }, roles, window: None })
}

/// The tree with its columns cast to the types of `columns`.
fn converted(tree: Tree, columns: &[crate::plan::Column]) -> Tree {
    let kinds =
        |tree: &Tree| tree.columns.iter().map(|column| column.data_type.kind.clone()).collect::<Vec<TypeKind>>();
    let mut tree = if kinds(&tree).iter().eq(columns.iter().map(|column| &column.data_type.kind)) {
        tree
    } else {
        let values = tree.identity().into_iter().zip(columns);
        let projection =
            values.map(|(value, column)| (column.name.clone(), cast(value, &column.data_type.kind))).collect();
        tree.calc(None, projection)
    };
    tree.columns = columns.to_vec();
    tree
}

/// The clauses around a query's body that are not planned yet, by name.
fn refuse(query: &Query) -> Result<(), SqlError> {
    let at = |feature: &str, span: sqlparser::tokenizer::Span| Err(SqlError::unsupported(feature).at(span.into()));
    if let Some(order_by) = &query.order_by {
        return at("ORDER BY", order_by.span());
    }
    if let Some(limit) = &query.limit_clause {
        return at("LIMIT", limit.span());
    }
    if query.fetch.is_some() {
        return at("FETCH FIRST", query.span());
    }
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return Err(SqlError::syntax("FOR UPDATE and the like are no SQL of Flink").at(query.span().into()));
    }
    Ok(())
}

fn name_parts(name: &ObjectName) -> (Vec<String>, Span) {
    let parts = name.0.iter().map(|part| match part {
        ObjectNamePart::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    });
    (parts.collect(), name.span().into())
}

fn aliased(mut relation: Relation, name: Vec<String>, alias: Option<&TableAlias>) -> Result<Source, SqlError> {
    match alias {
        None => Ok(Source { relation, qualifier: name }),
        Some(alias) => {
            rename(&mut relation, alias)?;
            Ok(Source { relation, qualifier: vec![alias.name.value.clone()] })
        }
    }
}

/// `AS t (a, b)`.
fn rename(relation: &mut Relation, alias: &TableAlias) -> Result<(), SqlError> {
    if alias.columns.is_empty() {
        return Ok(());
    }
    if alias.columns.len() != relation.tree.columns.len() {
        return Err(SqlError::invalid(format!(
            "`{}` names {} columns, but there are {}",
            alias.name.value,
            alias.columns.len(),
            relation.tree.columns.len()
        ))
        .at(alias.name.span.into()));
    }
    relation.rename(alias.columns.iter().map(|column| column.name.value.clone()));
    Ok(())
}
