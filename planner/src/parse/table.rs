//! `CREATE TABLE` in all of its parts. Not here: whether its columns and options make sense
//! (`catalog/`), nor what its expressions mean (the binder).

use super::cursor::{Cursor, unquoted};
use super::query;
use super::types;
use crate::ast::{
    ColumnDefinition, ColumnKind, CreateTable, PrimaryKey, Span, StatementKind, TableLike, WatermarkDefinition,
};
use crate::error::SqlError;
use sqlparser::tokenizer::Token;

/// After `CREATE [TEMPORARY] TABLE`.
pub(super) fn create_table(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_keywords(&["IF", "NOT", "EXISTS"]);
    let name = cursor.object_name("a table name")?;
    let mut body = Body::default();
    if cursor.take(&Token::LParen) {
        body.read(cursor)?;
    }
    let comment = comment(cursor)?;
    refuse_layout(cursor)?;
    let options = match cursor.take_keyword("WITH") {
        true => options(cursor)?,
        false => Vec::new(),
    };
    let like = match cursor.take_keyword("LIKE") {
        true => Some(like(cursor)?),
        false => None,
    };
    if cursor.is_keyword("AS") {
        return Err(SqlError::unsupported("CREATE TABLE … AS SELECT")
            .at(cursor.span())
            .hint("declare the table's columns, then fill it by INSERT INTO … SELECT"));
    }
    if !cursor.at_statement_end() {
        return Err(after_columns(cursor));
    }
    let Body { columns, watermark, primary_key } = body;
    Ok(StatementKind::CreateTable(Box::new(CreateTable {
        name,
        if_not_exists,
        columns,
        watermark,
        primary_key,
        comment,
        options,
        like,
    })))
}

/// The error for what can't follow the table's columns, with a guess at what was meant.
fn after_columns(cursor: &Cursor) -> SqlError {
    let error = cursor.expected("WITH (…), LIKE or ';'");
    match cursor.peek() {
        Token::LParen => error.hint("options follow the word WITH: WITH ('connector' = 'kafka', …)"),
        _ => error.hint("statements end with a semicolon"),
    }
}

fn refuse_layout(cursor: &Cursor) -> Result<(), SqlError> {
    for clause in ["PARTITIONED", "DISTRIBUTED"] {
        if cursor.is_keyword(clause) {
            let feature = format!("{clause} BY");
            return Err(SqlError::unsupported(feature).at(cursor.span()));
        }
    }
    Ok(())
}

/// What stands between the brackets.
#[derive(Default)]
struct Body {
    columns: Vec<ColumnDefinition>,
    watermark: Option<WatermarkDefinition>,
    primary_key: Option<PrimaryKey>,
}

impl Body {
    fn read(&mut self, cursor: &mut Cursor) -> Result<(), SqlError> {
        if cursor.take(&Token::RParen) {
            return Ok(());
        }
        loop {
            self.element(cursor)?;
            if cursor.take(&Token::RParen) {
                return Ok(());
            }
            if !cursor.take(&Token::Comma) {
                return Err(after_element(cursor));
            }
            if *cursor.peek() == Token::RParen {
                return Err(cursor.expected("a column").hint("remove the comma before ')'"));
            }
        }
    }

    fn element(&mut self, cursor: &mut Cursor) -> Result<(), SqlError> {
        let start = cursor.start();
        if cursor.is_keyword("WATERMARK") {
            let watermark = watermark(cursor)?;
            if self.watermark.is_some() {
                return Err(SqlError::invalid("a table has at most one WATERMARK").at(watermark.span));
            }
            self.watermark = Some(watermark);
        } else if cursor.is_keyword("CONSTRAINT") || cursor.is_keyword("PRIMARY") || cursor.is_keyword("UNIQUE") {
            if cursor.take_keyword("CONSTRAINT") {
                cursor.name("the constraint's name")?;
            }
            refuse_unique(cursor)?;
            cursor.expect_keywords(&["PRIMARY", "KEY"])?;
            let columns = cursor.parenthesized(|cursor| cursor.name("a column name"))?;
            not_enforced(cursor)?;
            self.set_primary_key(PrimaryKey { columns, span: cursor.span_since(start) })?;
        } else {
            let column = self.column(cursor)?;
            self.columns.push(column);
        }
        Ok(())
    }

    fn set_primary_key(&mut self, key: PrimaryKey) -> Result<(), SqlError> {
        if self.primary_key.is_some() {
            return Err(SqlError::invalid("a table has at most one PRIMARY KEY").at(key.span));
        }
        self.primary_key = Some(key);
        Ok(())
    }

    fn column(&mut self, cursor: &mut Cursor) -> Result<ColumnDefinition, SqlError> {
        let start = cursor.start();
        let name = cursor.name("a column name")?;
        if cursor.take_keyword("AS") {
            let expression = Box::new(query::expression(cursor, &["COMMENT"])?);
            let comment = comment(cursor)?;
            let span = cursor.span_since(start);
            return Ok(ColumnDefinition { name, kind: ColumnKind::Computed { expression }, comment, span });
        }
        let data_type = types::data_type(cursor)?;
        let kind = if cursor.take_keyword("METADATA") {
            let key = match cursor.take_keyword("FROM") {
                true => Some(cursor.string("the metadata key")?),
                false => None,
            };
            ColumnKind::Metadata { data_type, key, is_virtual: cursor.take_keyword("VIRTUAL") }
        } else {
            ColumnKind::Physical { data_type }
        };
        self.column_constraints(cursor, &name)?;
        let comment = comment(cursor)?;
        Ok(ColumnDefinition { name, kind, comment, span: cursor.span_since(start) })
    }

    /// `[CONSTRAINT name] PRIMARY KEY NOT ENFORCED` after a column's type.
    fn column_constraints(&mut self, cursor: &mut Cursor, column: &str) -> Result<(), SqlError> {
        let start = cursor.start();
        if cursor.take_keyword("CONSTRAINT") {
            cursor.name("the constraint's name")?;
        } else if cursor.is_keyword("DEFAULT") || cursor.is_keyword("AUTO_INCREMENT") || cursor.is_keyword("REFERENCES")
        {
            let clause = unquoted(cursor.peek()).unwrap_or_default().to_uppercase();
            return Err(SqlError::syntax(format!("a column of Flink SQL has no {clause}")).at(cursor.span()));
        }
        refuse_unique(cursor)?;
        if cursor.take_keywords(&["PRIMARY", "KEY"]) {
            not_enforced(cursor)?;
            let columns = vec![column.to_owned()];
            self.set_primary_key(PrimaryKey { columns, span: cursor.span_since(start) })?;
        }
        Ok(())
    }
}

/// The error after a column, with a guess: most often a comma is missing.
fn after_element(cursor: &Cursor) -> SqlError {
    let error = cursor.expected("',' or ')'");
    match cursor.peek() {
        Token::Word(word) => error.hint(format!("is a comma missing before {word}?")),
        Token::SingleQuotedString(_) => error.hint("a column's comment follows the word COMMENT"),
        Token::SemiColon | Token::EOF => error.hint("the '(' after the table's name is not closed"),
        _ => error,
    }
}

fn refuse_unique(cursor: &Cursor) -> Result<(), SqlError> {
    if cursor.is_keyword("UNIQUE") {
        return Err(SqlError::unsupported("UNIQUE").at(cursor.span()).hint("use PRIMARY KEY … NOT ENFORCED"));
    }
    Ok(())
}

fn not_enforced(cursor: &mut Cursor) -> Result<(), SqlError> {
    if cursor.take_keywords(&["NOT", "ENFORCED"]) {
        return Ok(());
    }
    let error = if cursor.is_keyword("ENFORCED") {
        SqlError::invalid("a PRIMARY KEY can't be ENFORCED: the table's data is not owned here").at(cursor.span())
    } else {
        cursor.expected("NOT ENFORCED after the PRIMARY KEY")
    };
    Err(error.hint("write PRIMARY KEY (…) NOT ENFORCED"))
}

/// `WATERMARK FOR a.b AS expression`.
fn watermark(cursor: &mut Cursor) -> Result<WatermarkDefinition, SqlError> {
    let start = cursor.start();
    cursor.expect_keywords(&["WATERMARK", "FOR"])?;
    let mut column = vec![cursor.name("the watermark's column")?];
    while cursor.take(&Token::Period) {
        column.push(cursor.name("a field's name")?);
    }
    cursor.expect_keywords(&["AS"])?;
    let expression = query::expression(cursor, &[])?;
    Ok(WatermarkDefinition { column, expression, span: cursor.span_since(start) })
}

pub(super) fn comment(cursor: &mut Cursor) -> Result<Option<String>, SqlError> {
    match cursor.take_keyword("COMMENT") {
        true => Ok(Some(cursor.string("the comment")?)),
        false => Ok(None),
    }
}

/// `('key' = 'value', …)`.
fn options(cursor: &mut Cursor) -> Result<Vec<(String, String, Span)>, SqlError> {
    if *cursor.peek() == Token::LParen && cursor.peek_nth(1).token == Token::RParen {
        cursor.advance();
        cursor.advance();
        return Ok(Vec::new());
    }
    let mut options: Vec<(String, String, Span)> = Vec::new();
    cursor.expect(&Token::LParen)?;
    loop {
        let span = cursor.span();
        let key = cursor.string("an option's key")?;
        cursor.expect(&Token::Eq)?;
        let value = option_value(cursor, &key)?;
        if options.iter().any(|(other, ..)| *other == key) {
            return Err(SqlError::invalid(format!("the option '{key}' is given twice")).at(span));
        }
        options.push((key, value, span));
        if cursor.take(&Token::RParen) {
            return Ok(options);
        }
        if !cursor.take(&Token::Comma) {
            let error = cursor.expected("',' or ')'");
            return Err(match cursor.peek() {
                Token::SingleQuotedString(_) => error.hint("is a comma missing between two options?"),
                _ => error,
            });
        }
        if *cursor.peek() == Token::RParen {
            return Err(cursor.expected("an option's key").hint("remove the comma before ')'"));
        }
    }
}

fn option_value(cursor: &mut Cursor, key: &str) -> Result<String, SqlError> {
    match cursor.peek() {
        Token::Number(number, _) => Err(cursor
            .expected("the option's value in single quotes")
            .hint(format!("write it as a string: '{key}' = '{number}'"))),
        _ => cursor.string("the option's value"),
    }
}

/// After `LIKE`.
fn like(cursor: &mut Cursor) -> Result<TableLike, SqlError> {
    const FEATURES: &[&str] =
        &["ALL", "CONSTRAINTS", "DISTRIBUTION", "GENERATED", "METADATA", "OPTIONS", "PARTITIONS", "WATERMARKS"];
    let source = cursor.object_name("the name of the table to be like")?;
    let mut options = Vec::new();
    if cursor.take(&Token::LParen) {
        while !cursor.take(&Token::RParen) {
            let strategies = ["INCLUDING", "EXCLUDING", "OVERWRITING"];
            let Some(strategy) = strategies.into_iter().find(|strategy| cursor.take_keyword(strategy)) else {
                return Err(cursor.expected("INCLUDING, EXCLUDING, OVERWRITING or ')'"));
            };
            let Some(feature) = FEATURES.iter().find(|feature| cursor.take_keyword(feature)) else {
                return Err(cursor.expected(&format!("one of {}", FEATURES.join(", "))));
            };
            options.push((strategy.to_owned(), (*feature).to_owned()));
        }
    }
    Ok(TableLike { source, options })
}
