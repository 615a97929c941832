//! One statement after another. Not here: the parts of CREATE TABLE (`table.rs`) and of queries
//! (`query.rs`).

use super::cursor::{Cursor, unquoted};
use super::hint::TableOption;
use super::{query, table};
use crate::ast::{CreateView, Insert, Statement, StatementKind};
use crate::error::SqlError;
use sqlparser::tokenizer::Token;

/// Reads a statement up to its semicolon, which it leaves.
pub(super) fn statement(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.start();
    let kind = kind(cursor)?;
    if !cursor.at_statement_end() {
        return Err(cursor.expected("';'"));
    }
    Ok(Statement { kind, span: cursor.span_since(start) })
}

fn kind(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let Some(word) = unquoted(cursor.peek()) else {
        return match cursor.peek() {
            Token::LParen => Err(query_alone(cursor)),
            _ => Err(cursor.expected("a statement")),
        };
    };
    match word.to_ascii_uppercase().as_str() {
        "CREATE" => create(cursor),
        "DROP" => drop(cursor),
        "INSERT" => Ok(StatementKind::Insert(insert(cursor)?)),
        "EXECUTE" | "BEGIN" => execute(cursor),
        "SET" => set(cursor),
        "RESET" => reset(cursor),
        "SELECT" | "WITH" | "VALUES" | "TABLE" => Err(query_alone(cursor)),
        _ => Err(other(cursor)),
    }
}

fn query_alone(cursor: &Cursor) -> SqlError {
    SqlError::unsupported("a query without INSERT INTO")
        .at(cursor.span())
        .hint("write its rows to a table: INSERT INTO t SELECT …, where t may have 'connector' = 'print'")
}

/// Statements of Flink that a job doesn't have, by name, or an error for what is none at all.
fn other(cursor: &Cursor) -> SqlError {
    const FIRST_WORDS: &[&str] = &[
        "ADD", "ALTER", "ANALYZE", "CALL", "COMPILE", "DELETE", "DESC", "DESCRIBE", "EXPLAIN", "LOAD", "MERGE",
        "REMOVE", "REPLACE", "SHOW", "STOP", "TRUNCATE", "UNLOAD", "UPDATE", "UPSERT", "USE",
    ];
    match FIRST_WORDS.iter().find(|word| cursor.is_keyword(word)) {
        Some(word) => {
            let error = SqlError::unsupported(format!("the statement {word}{}", second_word(cursor))).at(cursor.span());
            match *word {
                "EXPLAIN" => error.hint("`millrace plan FILE` prints the plan of a script"),
                _ => error,
            }
        }
        None if cursor.is_keyword("END") => cursor.expected("a statement").hint("no BEGIN is open before this END"),
        None => cursor.expected("a statement, for instance CREATE TABLE, CREATE VIEW, INSERT INTO or SET"),
    }
}

/// The next word, if it is a keyword of a statement: `ALTER TABLE`, `SHOW TABLES`.
fn second_word(cursor: &Cursor) -> String {
    const SECOND_WORDS: &[&str] = &[
        "CATALOG",
        "CATALOGS",
        "COLUMNS",
        "CREATE",
        "CURRENT",
        "DATABASE",
        "DATABASES",
        "FROM",
        "FUNCTION",
        "FUNCTIONS",
        "INTO",
        "JAR",
        "JARS",
        "JOB",
        "JOBS",
        "MATERIALIZED",
        "MODEL",
        "MODELS",
        "MODULE",
        "MODULES",
        "PARTITIONS",
        "PLAN",
        "PROCEDURES",
        "TABLE",
        "TABLES",
        "VIEW",
        "VIEWS",
    ];
    match SECOND_WORDS.iter().find(|word| cursor.is_keyword_at(1, word)) {
        Some(word) => format!(" {word}"),
        None => String::new(),
    }
}

fn create(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let start = cursor.span();
    cursor.advance();
    if cursor.is_keyword("OR") {
        return Err(SqlError::unsupported("CREATE OR REPLACE / CREATE OR ALTER").at(cursor.span()));
    }
    let temporary = cursor.take_keyword("TEMPORARY");
    if cursor.take_keyword("TABLE") {
        return table::create_table(cursor);
    }
    if cursor.take_keyword("VIEW") {
        return create_view(cursor);
    }
    const OTHERS: &[&str] = &["CATALOG", "CONNECTION", "DATABASE", "FUNCTION", "MATERIALIZED", "MODEL", "SYSTEM"];
    match OTHERS.iter().find(|word| cursor.is_keyword(word)) {
        Some(&"MATERIALIZED") => Err(SqlError::unsupported("CREATE MATERIALIZED TABLE").at(start)),
        Some(&"SYSTEM") => Err(SqlError::unsupported("CREATE TEMPORARY SYSTEM FUNCTION").at(start)),
        Some(word) => Err(SqlError::unsupported(format!("CREATE {word}")).at(start)),
        None if temporary => Err(cursor.expected("TABLE or VIEW")),
        None => Err(cursor.expected("TABLE, VIEW or TEMPORARY")),
    }
}

/// After `CREATE [TEMPORARY] VIEW`.
fn create_view(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.take_keywords(&["IF", "NOT", "EXISTS"]);
    let name = cursor.object_name("a view name")?;
    let columns = match cursor.peek() {
        Token::LParen => cursor.parenthesized(|cursor| {
            let column = cursor.name("a column name")?;
            table::comment(cursor)?;
            Ok(column)
        })?,
        _ => Vec::new(),
    };
    table::comment(cursor)?;
    cursor.expect_keywords(&["AS"])?;
    let query = query::query(cursor)?;
    Ok(StatementKind::CreateView(CreateView { name, if_not_exists, columns, query }))
}

fn drop(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let start = cursor.span();
    cursor.advance();
    let temporary = cursor.take_keyword("TEMPORARY");
    let is_table = cursor.is_keyword("TABLE");
    if !is_table && !cursor.is_keyword("VIEW") {
        const OTHERS: &[&str] = &["CATALOG", "CONNECTION", "DATABASE", "FUNCTION", "MATERIALIZED", "MODEL", "SYSTEM"];
        return Err(match OTHERS.iter().find(|word| cursor.is_keyword(word)) {
            Some(word) => SqlError::unsupported(format!("DROP {word}")).at(start),
            None if temporary => cursor.expected("TABLE or VIEW"),
            None => cursor.expected("TABLE, VIEW or TEMPORARY"),
        });
    }
    cursor.advance();
    let if_exists = cursor.take_keywords(&["IF", "EXISTS"]);
    let name = cursor.object_name(if is_table { "a table name" } else { "a view name" })?;
    Ok(match is_table {
        true => StatementKind::DropTable { name, if_exists },
        false => StatementKind::DropView { name, if_exists },
    })
}

/// At `INSERT`.
fn insert(cursor: &mut Cursor) -> Result<Insert, SqlError> {
    let start = cursor.start();
    cursor.expect_keywords(&["INSERT"])?;
    if cursor.is_keyword("OVERWRITE") {
        return Err(SqlError::unsupported("INSERT OVERWRITE")
            .at(cursor.span())
            .hint("a stream only adds rows: INSERT INTO"));
    }
    if !cursor.take_keyword("INTO") {
        return Err(cursor.expected("INTO"));
    }
    let target = cursor.object_name("a table name")?;
    let options = target_options(cursor)?;
    if cursor.is_keyword("PARTITION") {
        return Err(SqlError::unsupported("INSERT INTO … PARTITION").at(cursor.span()));
    }
    let columns = match cursor.peek() {
        Token::LParen if !opens_query(cursor) => cursor.parenthesized(|cursor| {
            let column = cursor.name("a column name")?;
            match cursor.peek() {
                Token::Period => Err(SqlError::unsupported("INSERT INTO fields of a ROW").at(cursor.span())),
                _ => Ok(column),
            }
        })?,
        _ => Vec::new(),
    };
    if cursor.at_statement_end() {
        return Err(cursor.expected("SELECT or VALUES"));
    }
    let query = query::query(cursor)?;
    Ok(Insert { target, options, columns, query, span: cursor.span_since(start) })
}

/// The OPTIONS hint after the name just read.
fn target_options(cursor: &Cursor) -> Result<Vec<TableOption>, SqlError> {
    let last = cursor.position() - 1;
    match cursor.script.hints.iter().find(|hint| hint.after == Some(last)) {
        Some(hint) => hint.options(),
        None => Ok(Vec::new()),
    }
}

/// Whether the bracket here starts a query rather than a list of columns.
fn opens_query(cursor: &Cursor) -> bool {
    let first = (1..).find(|ahead| cursor.peek_nth(*ahead).token != Token::LParen).unwrap_or(1);
    ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| cursor.is_keyword_at(first, word))
}

/// At `EXECUTE` or `BEGIN`.
fn execute(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let start = cursor.span();
    if cursor.take_keywords(&["EXECUTE", "STATEMENT", "SET"]) {
        cursor.expect_keywords(&["BEGIN"])?;
        return statement_set(cursor);
    }
    if cursor.take_keywords(&["BEGIN", "STATEMENT", "SET"]) {
        cursor.expect(&Token::SemiColon)?;
        return statement_set(cursor);
    }
    if cursor.take_keyword("BEGIN") {
        return Err(cursor.expected("STATEMENT SET after BEGIN"));
    }
    cursor.advance();
    if cursor.is_keyword("INSERT") {
        return Ok(StatementKind::Insert(insert(cursor)?));
    }
    Err(match cursor.is_keyword("PLAN") {
        true => SqlError::unsupported("EXECUTE PLAN").at(start),
        false => cursor.expected("STATEMENT SET or INSERT INTO after EXECUTE"),
    })
}

/// `INSERT …; INSERT …; END`.
fn statement_set(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    let mut inserts = Vec::new();
    loop {
        while cursor.take(&Token::SemiColon) {}
        if cursor.is_keyword("END") {
            if inserts.is_empty() {
                return Err(cursor.expected("INSERT INTO"));
            }
            cursor.advance();
            return Ok(StatementKind::StatementSet(inserts));
        }
        if !cursor.is_keyword("INSERT") {
            return Err(cursor.expected("INSERT INTO or END"));
        }
        inserts.push(insert(cursor)?);
        if !cursor.at_statement_end() {
            return Err(cursor.expected("';'"));
        }
    }
}

/// `SET 'key' = 'value'`, or `SET key = value` with the value as written up to the semicolon.
fn set(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    cursor.advance();
    if cursor.at_statement_end() {
        return Err(SqlError::unsupported("SET without a key").at(cursor.span()));
    }
    let key = option_key(cursor)?;
    cursor.expect(&Token::Eq)?;
    if cursor.at_statement_end() {
        return Err(cursor.expected("a value"));
    }
    if let Token::SingleQuotedString(value) = cursor.peek() {
        cursor.advance();
        return Ok(StatementKind::Set { key, value: value.clone() });
    }
    let start = cursor.start();
    while !cursor.at_statement_end() {
        cursor.advance();
    }
    let value = cursor.script.text_between(start, cursor.start()).trim().to_owned();
    Ok(StatementKind::Set { key, value })
}

fn reset(cursor: &mut Cursor) -> Result<StatementKind, SqlError> {
    cursor.advance();
    let key = match cursor.at_statement_end() {
        true => None,
        false => Some(option_key(cursor)?),
    };
    Ok(StatementKind::Reset { key })
}

/// `'table.local-time-zone'`, or the same without quotes.
fn option_key(cursor: &mut Cursor) -> Result<String, SqlError> {
    if let Token::SingleQuotedString(key) = cursor.peek() {
        cursor.advance();
        return Ok(key.clone());
    }
    if unquoted(cursor.peek()).is_none() {
        return Err(cursor.expected("an option's key"));
    }
    let start = cursor.start();
    while matches!(cursor.peek(), Token::Word(_) | Token::Period | Token::Minus | Token::Number(..)) {
        cursor.advance();
    }
    let end = cursor.start();
    Ok(cursor.script.text_between(start, end).trim().to_owned())
}
