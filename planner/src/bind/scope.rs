//! Which names an expression can use, and what they mean: the columns of what stands in FROM, by
//! name, by the table's name or alias, and down into fields of ROWs.

use super::relation::{Relation, Role};
use crate::ast::Span;
use crate::connector::nearest;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind};
use crate::plan::Column;
use crate::types::{DataType, TypeKind};
use sqlparser::ast::Ident;

pub(super) struct Scope<'a> {
    pub(super) columns: &'a [Column],
    pub(super) roles: &'a [Role],
    /// The alias, or the table's name with its catalog and database; empty where there is none.
    pub(super) qualifier: &'a [String],
}

impl<'a> Scope<'a> {
    pub(super) fn new(relation: &'a Relation, qualifier: &'a [String]) -> Self {
        Self { columns: &relation.tree.columns, roles: &relation.roles, qualifier }
    }

    /// Of expressions that can use no column.
    pub(super) fn empty() -> Scope<'static> {
        Scope { columns: &[], roles: &[], qualifier: &[] }
    }

    /// `column`, `row.field`, `table.column`, `table.row.field`, `database.table.column`, …
    pub(super) fn resolve(&self, names: &[Ident]) -> Result<Expression, SqlError> {
        let qualified = (1..names.len())
            .rev()
            .find(|&length| self.is_qualified_by(&names[..length]) && self.has(&names[length].value))
            .unwrap_or(0);
        let (column, fields) = (&names[qualified], &names[qualified + 1..]);
        let index = self.index(column, names)?;
        let mut expression = Expression::column(index, self.columns[index].data_type.clone());
        for name in fields {
            expression = field(expression, name)?;
        }
        Ok(expression)
    }

    pub(super) fn is_qualified_by(&self, names: &[Ident]) -> bool {
        names.len() <= self.qualifier.len()
            && names.iter().rev().zip(self.qualifier.iter().rev()).all(|(name, part)| name.value == *part)
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    fn index(&self, name: &Ident, whole: &[Ident]) -> Result<usize, SqlError> {
        let mut found = self.columns.iter().enumerate().filter(|(_, column)| column.name == name.value);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(SqlError::invalid(format!("the column `{}` is ambiguous", name.value))
                .at(name.span.into())
                .hint("two columns have this name; give one of them another name with AS")),
            (None, _) => Err(self.not_found(name, whole)),
        }
    }

    fn not_found(&self, name: &Ident, whole: &[Ident]) -> SqlError {
        if self.columns.is_empty() {
            return SqlError::invalid(format!("the column `{}` can't be used here", name.value)).at(name.span.into());
        }
        if whole.len() > 1 && self.is_qualified_by(&whole[..1]) {
            return self.column_not_found(&whole[1]);
        }
        if whole.len() > 1 && !self.qualifier.is_empty() {
            let qualifier = self.qualifier.last().map(String::as_str).unwrap_or_default();
            return SqlError::not_found(format!("there is no table or column `{}` here", name.value))
                .at(name.span.into())
                .hint(match nearest(&name.value, self.names().chain([qualifier])) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("the table is `{qualifier}`"),
                });
        }
        self.column_not_found(name)
    }

    fn column_not_found(&self, name: &Ident) -> SqlError {
        SqlError::not_found(format!("there is no column `{}`", name.value)).at(name.span.into()).hint(suggest(
            &name.value,
            self.names(),
            "the columns are",
        ))
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.columns.iter().map(|column| column.name.as_str())
    }
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
