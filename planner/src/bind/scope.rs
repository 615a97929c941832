//! Which names an expression can use, and what they mean: the columns of what stands in FROM, by
//! name, by the table's name or alias, and down into fields of ROWs.

use super::relation::Role;
use crate::ast::Span;
use crate::connector::nearest;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind};
use crate::plan::Column;
use crate::types::{DataType, TypeKind};
use sqlparser::ast::Ident;
use std::ops::Range;

pub(super) struct Scope<'a> {
    pub(super) columns: &'a [Column],
    pub(super) roles: &'a [Role],
    /// The tables that the columns are of.
    pub(super) tables: &'a [ScopeTable],
    /// Pairs of columns that USING made one: the first of each goes by the name.
    pub(super) merged: &'a [(usize, usize)],
}

/// A table in FROM.
#[derive(Clone, Debug)]
pub(super) struct ScopeTable {
    /// The alias, or the table's name with its catalog and database; empty where there is none.
    pub(super) qualifier: Vec<String>,
    pub(super) columns: Range<usize>,
}

impl ScopeTable {
    fn is_called(&self, names: &[Ident]) -> bool {
        names.len() <= self.qualifier.len()
            && names.iter().rev().zip(self.qualifier.iter().rev()).all(|(name, part)| name.value == *part)
    }
}

impl<'a> Scope<'a> {
    /// Columns of no table.
    pub(super) fn of(columns: &'a [Column], roles: &'a [Role]) -> Self {
        Self { columns, roles, tables: &[], merged: &[] }
    }

    /// Of expressions that can use no column.
    pub(super) fn empty() -> Scope<'static> {
        Scope::of(&[], &[])
    }

    /// The columns of `*`: those that USING made one come first.
    pub(super) fn star(&self) -> Vec<usize> {
        let mut star: Vec<usize> = Vec::with_capacity(self.columns.len());
        let is_hidden = |column: usize| self.merged.iter().any(|(_, hidden)| *hidden == column);
        let shown = (0..self.columns.len()).filter(|column| !is_hidden(*column));
        for column in self.merged.iter().map(|(column, _)| *column).chain(shown) {
            if !star.contains(&column) {
                star.push(column);
            }
        }
        star
    }

    /// The columns of `table.*`.
    pub(super) fn star_of(&self, names: &[Ident]) -> Option<Range<usize>> {
        self.table(names).map(|table| table.columns.clone())
    }

    fn table(&self, names: &[Ident]) -> Option<&'a ScopeTable> {
        self.tables.iter().find(|table| table.is_called(names))
    }

    /// `column`, `row.field`, `table.column`, `table.row.field`, `database.table.column`, …
    pub(super) fn resolve(&self, names: &[Ident]) -> Result<Expression, SqlError> {
        let qualified = (1..names.len()).rev().find_map(|length| {
            let table = self.table(&names[..length])?;
            self.has(&table.columns, &names[length].value).then(|| (length, table.columns.clone()))
        });
        let is_qualified = qualified.is_some();
        let (qualified, columns) = qualified.unwrap_or((0, 0..self.columns.len()));
        let (column, fields) = (&names[qualified], &names[qualified + 1..]);
        let index = self.index(column, columns, is_qualified, names)?;
        let mut expression = Expression::column(index, self.columns[index].data_type.clone());
        for name in fields {
            expression = field(expression, name)?;
        }
        Ok(expression)
    }

    fn has(&self, columns: &Range<usize>, name: &str) -> bool {
        self.columns[columns.clone()].iter().any(|column| column.name == name)
    }

    fn index(
        &self,
        name: &Ident,
        columns: Range<usize>,
        is_qualified: bool,
        whole: &[Ident],
    ) -> Result<usize, SqlError> {
        let is_hidden = |index: &usize| !is_qualified && self.merged.iter().any(|(_, hidden)| hidden == index);
        let mut found = columns.filter(|index| self.columns[*index].name == name.value && !is_hidden(index));
        match (found.next(), found.next()) {
            (Some(index), None) => Ok(index),
            (Some(one), Some(other)) => Err(SqlError::invalid(format!("the column `{}` is ambiguous", name.value))
                .at(name.span.into())
                .hint(self.how_to_tell_apart(&name.value, one, other))),
            (None, _) => Err(self.not_found(name, whole)),
        }
    }

    fn how_to_tell_apart(&self, name: &str, one: usize, other: usize) -> String {
        let table = |column: usize| {
            let table = self.tables.iter().position(|table| table.columns.contains(&column))?;
            Some((table, self.tables[table].qualifier.last()?))
        };
        match (table(one), table(other)) {
            (Some((one, left)), Some((other, right))) if one != other => {
                format!("two tables have it: write `{left}`.`{name}` or `{right}`.`{name}`")
            }
            _ => "two columns have this name; give one of them another name with AS".to_owned(),
        }
    }

    fn not_found(&self, name: &Ident, whole: &[Ident]) -> SqlError {
        if self.columns.is_empty() {
            return SqlError::invalid(format!("the column `{}` can't be used here", name.value)).at(name.span.into());
        }
        if whole.len() > 1
            && let Some(table) = self.table(&whole[..1])
        {
            return column_not_found(&whole[1], &self.columns[table.columns.clone()]);
        }
        let tables: Vec<&str> =
            self.tables.iter().filter_map(|table| table.qualifier.last()).map(String::as_str).collect();
        if whole.len() > 1 && !tables.is_empty() {
            let columns = self.columns.iter().map(|column| column.name.as_str());
            return SqlError::not_found(format!("there is no table or column `{}` here", name.value))
                .at(name.span.into())
                .hint(match (nearest(&name.value, columns.chain(tables.iter().copied())), tables.as_slice()) {
                    (Some(name), _) => format!("did you mean `{name}`?"),
                    (None, [only]) => format!("the table is `{only}`"),
                    (None, tables) => format!("the tables are `{}`", tables.join("`, `")),
                });
        }
        column_not_found(name, self.columns)
    }
}

fn column_not_found(name: &Ident, columns: &[Column]) -> SqlError {
    let names = columns.iter().map(|column| column.name.as_str());
    SqlError::not_found(format!("there is no column `{}`", name.value)).at(name.span.into()).hint(suggest(
        &name.value,
        names,
        "the columns are",
    ))
}

/// The nearest name, or all of them.
pub(super) fn suggest<'n>(name: &str, names: impl Iterator<Item = &'n str> + Clone, all: &str) -> String {
    const MOST: usize = 12;
    if let Some(name) = nearest(name, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let listed: Vec<String> = names.clone().take(MOST).map(|name| format!("`{name}`")).collect();
    let more = if names.count() > MOST { ", …" } else { "" };
    format!("{all} {}{more}", listed.join(", "))
}

/// A field of a ROW; NULL where the ROW is.
pub(super) fn field(input: Expression, name: &Ident) -> Result<Expression, SqlError> {
    let span: Span = name.span.into();
    let TypeKind::Row(fields) = &input.data_type.kind else {
        return Err(SqlError::invalid(format!(
            "`{}` can't be taken of a value of type {}, which has no fields",
            name.value, input.data_type.kind
        ))
        .at(span));
    };
    let Some(index) = fields.iter().position(|field| field.name == name.value) else {
        let names = fields.iter().map(|field| field.name.as_str());
        return Err(SqlError::not_found(format!("there is no field `{}` in this ROW", name.value))
            .at(span)
            .hint(suggest(&name.value, names, "its fields are")));
    };
    let field = &fields[index].data_type;
    let data_type = DataType { kind: field.kind.clone(), nullable: field.nullable || input.data_type.nullable };
    Ok(Expression { kind: ExpressionKind::Field { input: Box::new(input), index }, data_type })
}
