//! A SELECT: its FROM, WHERE, select list, GROUP BY and HAVING. Not here: what is around a SELECT
//! (`query.rs`), and grouping itself (`group.rs`).

use super::aggregate::AggregateCalls;
use super::expression::ExpressionBinder;
use super::group::Grouping;
use super::join;
use super::query::QueryBinder;
use super::relation::{Relation, Role};
use super::scope::Scope;
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind};
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
    WildcardAdditionalOptions,
};

/// An element of the select list, with its output name.
struct Item {
    name: String,
    expression: Expression,
    span: Span,
}

pub(super) fn bind(binder: &mut QueryBinder<'_>, select: &Select) -> Result<Relation, SqlError> {
    refuse(select)?;
    let mut from = binder.from(&select.from)?;
    let filter = match &select.selection {
        Some(condition) => Some(ExpressionBinder::new(&from.scope(), "WHERE").condition(condition)?),
        None => None,
    };
    let relation = from.join(filter)?;
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let scope = from.scope();
    let grouping = if grouped { Some(Grouping::bind(select, &scope)?) } else { None };
    let mut calls = AggregateCalls {
        group_window: grouping.as_ref().and_then(Grouping::group_window),
        ..AggregateCalls::default()
    };
    let items = items(&select.projection, &scope, &mut calls)?;
    let having = match &select.having {
        Some(having) => {
            let mut binder = ExpressionBinder { scope: &scope, aggregates: Some(&mut calls), clause: "HAVING" };
            Some((binder.condition(having)?, having.span().into()))
        }
        None => None,
    };
    if grouping.is_none() && calls.calls.is_empty() && having.is_none() {
        return Ok(project(relation, items));
    }
    let span = match &select.group_by {
        GroupByExpr::Expressions(keys, _) => keys.iter().map(Spanned::span).reduce(|all, key| all.union(&key)),
        GroupByExpr::All(_) => None,
    };
    let span = span.map_or_else(|| items.first().map_or_else(|| select.span().into(), |item| item.span), Into::into);
    aggregated(grouping.unwrap_or_default(), relation, calls, items, having, span)
}

fn aggregated(
    grouping: Grouping,
    relation: Relation,
    calls: AggregateCalls,
    items: Vec<Item>,
    having: Option<(Expression, Span)>,
    span: Span,
) -> Result<Relation, SqlError> {
    let mut grouped = grouping.aggregate(relation, &calls, span)?;
    let items = items
        .into_iter()
        .map(|item| Ok(Item { expression: grouped.over_result(item.expression, item.span)?, ..item }))
        .collect::<Result<Vec<_>, SqlError>>()?;
    if let Some((condition, span)) = having {
        let condition = grouped.over_result(condition, span)?;
        grouped.relation.tree = grouped.relation.tree.filter(condition);
    }
    Ok(project(grouped.relation, items))
}

/// The clauses that are not planned yet, by name.
fn refuse(select: &Select) -> Result<(), SqlError> {
    let at = |feature: &str, span: sqlparser::tokenizer::Span| Err(SqlError::unsupported(feature).at(span.into()));
    match &select.distinct {
        Some(Distinct::Distinct) => return at("SELECT DISTINCT", select.select_token.0.span),
        Some(Distinct::On(_)) => return at("SELECT DISTINCT ON", select.select_token.0.span),
        Some(Distinct::All) | None => {}
    }
    if let Some(first) = select.lateral_views.first() {
        return at("LATERAL VIEW", first.span());
    }
    if let Some(qualify) = &select.qualify {
        return at("QUALIFY", qualify.span());
    }
    if let Some(window) = select.named_window.first() {
        return at("the WINDOW clause (OVER aggregation)", window.span());
    }
    Ok(())
}

fn items(list: &[SelectItem], scope: &Scope<'_>, calls: &mut AggregateCalls) -> Result<Vec<Item>, SqlError> {
    let mut items = Vec::with_capacity(list.len());
    for item in list {
        let span: Span = item.span().into();
        match item {
            SelectItem::UnnamedExpr(expression) => {
                let name = output_name(expression).unwrap_or_else(|| format!("EXPR${}", items.len()));
                items.push(Item { name, expression: bound(expression, scope, calls)?, span });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { name: alias.value.clone(), expression: bound(expr, scope, calls)?, span });
            }
            SelectItem::Wildcard(options) => {
                plain(options, span)?;
                if scope.columns.is_empty() {
                    return Err(SqlError::invalid("SELECT * needs a table in FROM").at(span));
                }
                add_columns(&mut items, scope, scope.star(), span);
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                plain(options, span)?;
                let names: Vec<Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
                match scope.star_of(&names) {
                    Some(columns) => add_columns(&mut items, scope, columns, span),
                    None => items.extend(fields(scope.resolve(&names)?, span)?),
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expression), options) => {
                plain(options, span)?;
                items.extend(fields(bound(expression, scope, calls)?, span)?);
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(SqlError::unsupported("several aliases of one expression").at(span));
            }
        }
    }
    Ok(items)
}

fn bound(expression: &Expr, scope: &Scope<'_>, calls: &mut AggregateCalls) -> Result<Expression, SqlError> {
    ExpressionBinder { scope, aggregates: Some(calls), clause: "SELECT" }.bind(expression)
}

/// `*` alone: without EXCEPT, REPLACE and the like.
fn plain(options: &WildcardAdditionalOptions, span: Span) -> Result<(), SqlError> {
    let WildcardAdditionalOptions { opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias, .. } =
        options;
    let none = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if none { Ok(()) } else { Err(SqlError::syntax("Flink SQL knows `*` only by itself").at(span)) }
}

/// The columns of a `*`. Of several tables some may have one name: then the later ones are numbered, as Flink
/// does it.
fn add_columns(items: &mut Vec<Item>, scope: &Scope<'_>, columns: impl IntoIterator<Item = usize>, span: Span) {
    for index in columns {
        let column = &scope.columns[index];
        let name = match scope.tables {
            [_, _, ..] => join::unique(&column.name, |name| items.iter().any(|item| item.name == name)),
            _ => column.name.clone(),
        };
        items.push(Item { name, expression: Expression::column(index, column.data_type.clone()), span });
    }
}

/// `row.*`.
fn fields(row: Expression, span: Span) -> Result<Vec<Item>, SqlError> {
    let crate::types::TypeKind::Row(fields) = &row.data_type.kind else {
        return Err(
            SqlError::invalid(format!("`.*` needs a table or a ROW, but this is {}", row.data_type.kind)).at(span)
        );
    };
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    names
        .into_iter()
        .map(|name| {
            let expression = super::scope::field(row.clone(), &Ident::new(name.clone()))?;
            Ok(Item { name, expression, span })
        })
        .collect()
}

/// The name that an expression without an alias gives its column.
pub(super) fn output_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
        Expr::Nested(inner) => output_name(inner),
        _ => None,
    }
}

fn project(relation: Relation, items: Vec<Item>) -> Relation {
    let roles: Vec<Role> = items
        .iter()
        .map(|item| match &item.expression.kind {
            ExpressionKind::Column(index) => relation.roles[*index],
            ExpressionKind::Call { function, .. } if function.name() == "PROCTIME" => Role::Proctime,
            _ => Role::Plain,
        })
        .collect();
    let window = relation.window.filter(|_| roles.iter().any(|role| role.is_window()));
    let projection = items.into_iter().map(|item| (item.name, item.expression)).collect();
    Relation { tree: relation.tree.calc(None, projection), roles, window }
}
