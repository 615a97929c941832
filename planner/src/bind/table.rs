//! Tables and views of the catalogue as relations: what is scanned, computed columns, and the watermark.
//! Not here: the checks that need no expression (`catalog/table.rs`).

use super::coerce;
use super::expression::ExpressionBinder;
use super::query::QueryBinder;
use super::relation::{Node, Relation, Role, Tree, column};
use super::scope::{Scope, ScopeTable};
use crate::ast::{ColumnKind, ObjectName, Span};
use crate::catalog::{self, Catalog, CatalogTable, CatalogView, check_rowtime};
use crate::connector::Usage;
use crate::error::{SqlError, SqlErrorKind};
use crate::expression::{Expression, ExpressionKind};
use crate::parse::TableOption;
use crate::plan::{Column, Connector, Scan, ScanColumn, Table};
use crate::secret::Options;
use sqlparser::ast::{Expr, Spanned};
use std::time::Duration;

/// What a query reads under this name.
pub(super) fn bind(
    binder: &mut QueryBinder<'_>,
    parts: &[String],
    span: Span,
    hints: &[TableOption],
) -> Result<Relation, SqlError> {
    let name = ObjectName { parts: parts.to_vec(), span };
    match binder.catalog.resolve(&name)? {
        catalog::Relation::Table(table) => {
            let (table, warnings) = table.with_options(hints)?;
            binder.warnings.extend(warnings);
            let source = table.to_plan(&binder.catalog.session, Usage::Source)?;
            scanned(&table, source)
        }
        catalog::Relation::View(_) if !hints.is_empty() => {
            Err(SqlError::invalid("OPTIONS needs a table, and this is a view").at(span))
        }
        catalog::Relation::View(view) => bind_view(binder, view),
    }
}

fn bind_view(binder: &mut QueryBinder<'_>, view: &CatalogView) -> Result<Relation, SqlError> {
    let mut relation = binder.view(&view.query)?;
    if !view.columns.is_empty() {
        if view.columns.len() != relation.tree.columns.len() {
            return Err(SqlError::invalid(format!(
                "the view names {} columns, but its query has {}",
                view.columns.len(),
                relation.tree.columns.len()
            ))
            .at(view.span));
        }
        relation.rename(view.columns.iter().cloned());
    }
    Ok(relation)
}

/// Binds every declaration, so that a mistake in one that nothing uses is found as well.
pub(crate) fn check_declarations(catalog: &Catalog) -> Result<(), SqlError> {
    for relation in catalog.relations() {
        match relation {
            catalog::Relation::Table(table) => {
                // Expressions are checked; options as a whole only where the table is used.
                let nowhere = Table {
                    name: table.name.to_string(),
                    connector: table.connector.unwrap_or(Connector::Blackhole),
                    physical: table.physical(),
                    primary_key: Vec::new(),
                    options: Options::default(),
                    idle_timeout: Duration::ZERO,
                };
                scanned(table, nowhere)?;
            }
            catalog::Relation::View(view) => match bind_view(&mut QueryBinder::new(catalog), view) {
                // What is not supported yet does no harm where it isn't used.
                Err(error) if error.kind != SqlErrorKind::Unsupported => return Err(error),
                _ => {}
            },
        }
    }
    Ok(())
}

fn scanned(table: &CatalogTable, source: Table) -> Result<Relation, SqlError> {
    let scan = scan(table, source);
    let scan_scope = scan.columns.clone();
    let declared = declared_columns(table, &scan_scope)?;
    let roles = declared.iter().map(|(_, expression)| role(expression)).collect();
    let tree = scan.calc(None, declared);
    with_watermark(table, Relation { tree, roles, window: None })
}

/// Everything that the connector has, with the types that it has it in.
fn scan(table: &CatalogTable, source: Table) -> Tree {
    let (mut read, mut columns) = (Vec::new(), Vec::new());
    for declared in &table.columns {
        let data_type = match &declared.kind {
            ColumnKind::Physical { data_type } => {
                read.push(ScanColumn::Physical { path: vec![declared.name.clone()] });
                data_type.clone()
            }
            ColumnKind::Metadata { data_type, key, .. } => {
                read.push(ScanColumn::Metadata { key: key.clone().unwrap_or_else(|| declared.name.clone()) });
                table.metadata(declared).map_or_else(|| data_type.clone(), |known| known.data_type)
            }
            ColumnKind::Computed { .. } => continue,
        };
        columns.push(column(&declared.name, &data_type));
    }
    Tree { node: Node::Scan(Scan { table: source, columns: read }), columns }
}

/// The columns as declared, computed ones included, over the scan's.
fn declared_columns(table: &CatalogTable, scanned: &[Column]) -> Result<Vec<(String, Expression)>, SqlError> {
    let read = |name: &str| {
        let index = scanned.iter().position(|column| column.name == name);
        index.map(|index| Expression::column(index, scanned[index].data_type.clone()))
    };
    // A computed column sees physical and METADATA columns as declared, and no other computed one.
    let mut visible: Vec<Column> = Vec::new();
    let mut values: Vec<Expression> = Vec::new();
    for declared in &table.columns {
        let (ColumnKind::Physical { data_type } | ColumnKind::Metadata { data_type, .. }) = &declared.kind else {
            continue;
        };
        let Some(value) = read(&declared.name) else { continue };
        visible.push(column(&declared.name, data_type));
        values.push(coerce::cast(value, &data_type.kind));
    }
    let roles = vec![Role::Plain; visible.len()];
    let tables = [ScopeTable { qualifier: vec![table.name.name.clone()], columns: 0..visible.len() }];
    let scope = Scope { tables: &tables, ..Scope::of(&visible, &roles) };
    let mut columns = Vec::with_capacity(table.columns.len());
    for declared in &table.columns {
        let value = match &declared.kind {
            ColumnKind::Computed { expression } => {
                let bound = ExpressionBinder::new(&scope, "a computed column")
                    .bind(expression)
                    .map_err(|error| of_computed(error, table, expression))?;
                over_scan(bound, &values)
            }
            _ => match visible.iter().position(|column| column.name == declared.name) {
                Some(index) => values[index].clone(),
                None => continue,
            },
        };
        columns.push((declared.name.clone(), value));
    }
    Ok(columns)
}

/// A computed column that names another one.
fn of_computed(error: SqlError, table: &CatalogTable, expression: &Expr) -> SqlError {
    let named = table.columns.iter().find(|column| {
        matches!(column.kind, ColumnKind::Computed { .. })
            && error.message == format!("there is no column `{}`", column.name)
    });
    match named {
        Some(column) => SqlError::invalid(format!("a computed column can't use the computed column `{}`", column.name))
            .at(error.span.unwrap_or_else(|| expression.span().into()))
            .hint("repeat its expression, or compute it in a view"),
        None => error,
    }
}

fn over_scan(expression: Expression, values: &[Expression]) -> Expression {
    match expression.kind {
        ExpressionKind::Column(index) => values[index].clone(),
        _ => expression.map_inputs(&|input| over_scan(input, values)),
    }
}

fn role(expression: &Expression) -> Role {
    match &expression.kind {
        ExpressionKind::Call { function, .. } if function.name() == "PROCTIME" => Role::Proctime,
        _ => Role::Plain,
    }
}

fn with_watermark(table: &CatalogTable, mut relation: Relation) -> Result<Relation, SqlError> {
    let Some(watermark) = &table.watermark else { return Ok(relation) };
    let [name] = watermark.column.as_slice() else {
        return Err(SqlError::unsupported("a WATERMARK for a field of a ROW")
            .at(watermark.span)
            .hint("make it a computed column: `ts` AS `row`.`field`, WATERMARK FOR `ts` AS …"));
    };
    let missing =
        || SqlError::not_found(format!("WATERMARK names `{name}`, which is no column of the table")).at(watermark.span);
    let index = relation.tree.columns.iter().position(|column| column.name == *name).ok_or_else(missing)?;
    let time = relation.tree.columns[index].data_type.clone();
    check_rowtime(name, &time).map_err(|error| error.at(watermark.span))?;
    let bound = {
        let columns = &relation.tree.columns;
        let tables = [ScopeTable { qualifier: vec![table.name.name.clone()], columns: 0..columns.len() }];
        let scope = Scope { tables: &tables, ..Scope::of(columns, &relation.roles) };
        ExpressionBinder::new(&scope, "WATERMARK").bind(&watermark.expression)?
    };
    if std::mem::discriminant(&bound.data_type.kind) != std::mem::discriminant(&time.kind) {
        return Err(SqlError::invalid(format!(
            "the WATERMARK is {}, but the column `{name}` is {}",
            bound.data_type.kind, time.kind
        ))
        .at(watermark.expression.span().into())
        .hint(format!("WATERMARK FOR `{name}` AS `{name}` - INTERVAL '5' SECOND")));
    }
    let expression = coerce::cast(bound, &time.kind);
    relation.roles[index] = Role::Rowtime;
    let Relation { tree, roles, window } = relation;
    let columns = tree.columns.clone();
    let node = Node::Watermark { input: Box::new(tree), column: index, expression };
    Ok(Relation { tree: Tree { node, columns }, roles, window })
}
