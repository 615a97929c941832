//! A script's text to its statements. Statements, data types and hints are read here, on the tokens of
//! sqlparser; queries and expressions by sqlparser itself (see [`query`](self::query) for how they look
//! in its tree). Every error has its place. Not here: any meaning, so an unknown table is no error.

mod reserved;
mod dialect;
mod limits;
mod hint;
mod lexer;
mod cursor;
mod types;
mod query;
mod finish;
mod table;
mod statement;

pub use hint::TableOption;
pub use query::{cast_type, table_hints};
pub use reserved::is_reserved;
pub use types::parse_type;

use crate::ast::{Span, Statement};
use crate::error::SqlError;
use cursor::Cursor;
use lexer::Script;
use sqlparser::tokenizer::Token;

/// Reads a script: statements with a semicolon between them.
pub fn parse_script(sql: &str) -> Result<Vec<Statement>, SqlError> {
    let script = Script::new(sql)?;
    let mut cursor = Cursor::new(&script);
    let mut statements = Vec::new();
    loop {
        while cursor.take(&Token::SemiColon) {}
        if cursor.at_end() {
            break;
        }
        statements.push(statement::statement(&mut cursor)?);
    }
    hint::refuse_unused(&script)?;
    Ok(statements)
}

impl From<sqlparser::tokenizer::Span> for Span {
    fn from(span: sqlparser::tokenizer::Span) -> Self {
        Self { line: span.start.line, column: span.start.column, end_line: span.end.line, end_column: span.end.column }
    }
}

#[cfg(test)]
mod tests;
