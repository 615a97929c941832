//! INSERT INTO: a query's columns to those of the table, by position, with Flink's implicit casts. Not
//! here: NULLs for NOT NULL columns, which the sink finds when they come.

use super::coerce::{assignable, cast};
use super::literal;
use super::query::QueryBinder;
use super::relation::{Node, Relation, Tree};
use crate::ast::{ColumnDefinition, ColumnKind, Insert, Span};
use crate::catalog::CatalogTable;
use crate::connector::{Usage, nearest};
use crate::error::SqlError;
use crate::expression::Expression;
use crate::plan::{Sink, SinkTarget};
use crate::types::{DataType, TypeKind};
use sqlparser::ast::{Query, SelectItem, SetExpr, Spanned};

pub(crate) fn insert(binder: &mut QueryBinder<'_>, insert: &Insert) -> Result<Tree, SqlError> {
    let (table, warnings) = binder.catalog.table(&insert.target)?.with_options(&insert.options)?;
    binder.warnings.extend(warnings);
    let sink = table.to_plan(&binder.catalog.session, Usage::Sink).map_err(|error| error.at(insert.target.span))?;
    let relation = binder.query(&insert.query)?;
    let columns = table.sink_columns()?;
    let given = given_columns(&table, &columns, insert)?;
    if given.len() != relation.tree.columns.len() {
        return Err(wrong_count(&given, &relation, insert));
    }
    let mut targets = Vec::with_capacity(columns.len());
    let mut projection = Vec::with_capacity(columns.len());
    let values: Vec<Expression> = relation.tree.identity();
    for column in columns {
        let (ColumnKind::Physical { data_type } | ColumnKind::Metadata { data_type, .. }) = &column.kind else {
            continue;
        };
        let value = match given.iter().position(|name| *name == column.name) {
            Some(index) => assigned(values[index].clone(), column, data_type, index, &insert.query)?,
            None if data_type.nullable => literal::null(data_type.kind.clone()),
            None => {
                return Err(SqlError::invalid(format!(
                    "the column `{}` is NOT NULL, but the INSERT leaves it out",
                    column.name
                ))
                .at(insert.target.span));
            }
        };
        targets.push(match &column.kind {
            ColumnKind::Metadata { key, .. } => {
                SinkTarget::Metadata { key: key.clone().unwrap_or_else(|| column.name.clone()) }
            }
            _ => SinkTarget::Physical { name: column.name.clone() },
        });
        projection.push((column.name.clone(), value));
    }
    let input = relation.tree.calc(None, projection);
    let node = Node::Sink {
        input: Box::new(input),
        sink: Sink { table: sink, targets, not_null: binder.catalog.session.not_null_enforcer() },
    };
    Ok(Tree { node, columns: Vec::new() })
}

/// The names of the columns that the query fills, in its order.
fn given_columns(
    table: &CatalogTable,
    columns: &[&ColumnDefinition],
    insert: &Insert,
) -> Result<Vec<String>, SqlError> {
    if insert.columns.is_empty() {
        return Ok(columns.iter().map(|column| column.name.clone()).collect());
    }
    for (index, name) in insert.columns.iter().enumerate() {
        let span = insert.target.span;
        if insert.columns[..index].contains(name) {
            return Err(SqlError::invalid(format!("the INSERT names the column `{name}` twice")).at(span));
        }
        if columns.iter().any(|column| column.name == *name) {
            continue;
        }
        let error = match table.column(name) {
            Some(_) => SqlError::invalid(format!("the column `{name}` can't be written: it is computed or VIRTUAL")),
            None => SqlError::not_found(format!("the table `{}` has no column `{name}`", table.name.name)),
        };
        return Err(match nearest(name, columns.iter().map(|column| column.name.as_str())) {
            Some(near) => error.at(span).hint(format!("did you mean `{near}`?")),
            None => error.at(span),
        });
    }
    Ok(insert.columns.clone())
}

fn wrong_count(given: &[String], relation: &Relation, insert: &Insert) -> SqlError {
    let query: Vec<String> =
        relation.tree.columns.iter().map(|column| format!("`{}` {}", column.name, column.data_type.kind)).collect();
    SqlError::invalid(format!(
        "the query has {} columns, but `{}` takes {}",
        query.len(),
        insert.target.parts.join("`.`"),
        given.len()
    ))
    .at(insert.query.span().into())
    .hint(format!("the query gives ({}); the table takes (`{}`)", query.join(", "), given.join("`, `")))
}

fn assigned(
    value: Expression,
    column: &ColumnDefinition,
    target: &DataType,
    index: usize,
    query: &Query,
) -> Result<Expression, SqlError> {
    if !assignable(&value.data_type.kind, &target.kind) {
        let error = SqlError::invalid(format!(
            "column {} of the query is {}, but `{}` is {}",
            index + 1,
            value.data_type.kind,
            column.name,
            target.kind
        ));
        return Err(error.at(item_span(query, index)).hint(format!("CAST(… AS {})", target.kind)));
    }
    if value.data_type.kind == TypeKind::Null && !target.nullable {
        return Err(SqlError::invalid(format!("the column `{}` is NOT NULL", column.name)).at(item_span(query, index)));
    }
    Ok(cast(value, &target.kind))
}

/// Where the select list has its element number `index`, as far as that is plain to see.
fn item_span(query: &Query, index: usize) -> Span {
    let mut body = query.body.as_ref();
    while let SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    let items = match body {
        SetExpr::Select(select) => select.projection.as_slice(),
        SetExpr::Query(query) => return item_span(query, index),
        _ => &[],
    };
    let has_wildcard =
        items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    match items.get(index) {
        Some(item) if !has_wildcard => item.span().into(),
        _ => query.span().into(),
    }
}
