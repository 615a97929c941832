//! `CREATE TABLE … LIKE source (…)`: what the new table takes from its source, by Flink's rules. The
//! source's columns come first; physical ones are always taken.

use super::table::CatalogTable;
use crate::ast::{ColumnDefinition, ColumnKind, CreateTable, TableLike};
use crate::error::SqlError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// Taken; an error where the new table has the same.
    Including,
    Excluding,
    /// Taken, unless the new table has the same.
    Overwriting,
}

use Strategy::{Excluding, Including, Overwriting};

/// How each feature is taken, after `INCLUDING ALL OVERWRITING OPTIONS`, which is the default.
struct Strategies {
    constraints: Strategy,
    generated: Strategy,
    metadata: Strategy,
    options: Strategy,
    watermarks: Strategy,
}

impl Strategies {
    fn new(like: &TableLike) -> Result<Self, SqlError> {
        let invalid = |message: String| SqlError::invalid(message).at(like.source.span);
        let mut parsed: Vec<(Strategy, &str)> = Vec::new();
        for (strategy, feature) in &like.options {
            let strategy = match strategy.as_str() {
                "EXCLUDING" => Excluding,
                "OVERWRITING" => Overwriting,
                _ => Including,
            };
            if strategy == Overwriting
                && !matches!(feature.as_str(), "GENERATED" | "METADATA" | "OPTIONS" | "WATERMARKS")
            {
                return Err(invalid(format!("OVERWRITING {feature} is not allowed in LIKE"))
                    .hint("OVERWRITING goes with GENERATED, METADATA, OPTIONS and WATERMARKS"));
            }
            if parsed.iter().any(|(_, other)| other == feature) {
                return Err(invalid(format!("{feature} stands twice in LIKE")));
            }
            parsed.push((strategy, feature));
        }
        let find = |feature: &str| parsed.iter().find(|(_, other)| *other == feature).map(|(strategy, _)| *strategy);
        let all = find("ALL");
        let strategy = |feature: &str| find(feature).or(all).unwrap_or(Including);
        Ok(Self {
            constraints: strategy("CONSTRAINTS"),
            generated: strategy("GENERATED"),
            metadata: strategy("METADATA"),
            options: find("OPTIONS").or(all).unwrap_or(Overwriting),
            watermarks: strategy("WATERMARKS"),
        })
    }
}

/// Fills `table` with what it takes from `source`.
pub(super) fn merge(mut table: CreateTable, like: &TableLike, source: &CatalogTable) -> Result<CreateTable, SqlError> {
    let strategies = Strategies::new(like)?;
    table.columns = columns(table.columns, source, &strategies)?;
    let clash = |what: &str, instead: &str| {
        SqlError::invalid(format!("both tables have {what}")).at(like.source.span).hint(instead)
    };
    if let Some(watermark) = &source.watermark {
        match (strategies.watermarks, &table.watermark) {
            (Including, Some(own)) => {
                return Err(clash("a WATERMARK", "write LIKE … (OVERWRITING WATERMARKS) or (EXCLUDING WATERMARKS)")
                    .at(own.span));
            }
            (Including | Overwriting, None) => table.watermark = Some(watermark.clone()),
            (Excluding, _) | (Overwriting, Some(_)) => {}
        }
    }
    if let Some(key) = &source.primary_key {
        match (strategies.constraints, &table.primary_key) {
            (Including, Some(_)) => return Err(clash("a PRIMARY KEY", "write LIKE … (EXCLUDING CONSTRAINTS)")),
            (Including, None) => table.primary_key = Some(key.clone()),
            (Excluding | Overwriting, _) => {}
        }
    }
    if strategies.options != Excluding {
        for (key, value, span) in source.options.iter().rev() {
            match table.options.iter().find(|(own, ..)| own == key) {
                Some((_, _, own)) if strategies.options == Including => {
                    return Err(SqlError::invalid(format!("both tables have the option '{key}'"))
                        .at(*own)
                        .hint("write LIKE … (OVERWRITING OPTIONS)"));
                }
                Some(_) => {}
                None => table.options.insert(0, (key.clone(), value.clone(), *span)),
            }
        }
    }
    Ok(table)
}

/// The source's columns that are taken, then the new table's own.
fn columns(
    mut own: Vec<ColumnDefinition>,
    source: &CatalogTable,
    strategies: &Strategies,
) -> Result<Vec<ColumnDefinition>, SqlError> {
    let mut merged = Vec::with_capacity(own.len() + source.columns.len());
    for column in &source.columns {
        let strategy = match column.kind {
            ColumnKind::Physical { .. } => Including,
            ColumnKind::Computed { .. } => strategies.generated,
            ColumnKind::Metadata { .. } => strategies.metadata,
        };
        if strategy == Excluding {
            continue;
        }
        match own.iter().position(|other| other.name == column.name) {
            // It keeps the place that it has in the source.
            Some(at) if strategy == Overwriting && same_kind(&own[at], column) => merged.push(own.remove(at)),
            Some(at) => {
                return Err(SqlError::invalid(format!(
                    "the column `{}` is in the table after LIKE already",
                    column.name
                ))
                .at(own[at].span));
            }
            None => merged.push(column.clone()),
        }
    }
    merged.append(&mut own);
    Ok(merged)
}

fn same_kind(left: &ColumnDefinition, right: &ColumnDefinition) -> bool {
    std::mem::discriminant(&left.kind) == std::mem::discriminant(&right.kind)
}
