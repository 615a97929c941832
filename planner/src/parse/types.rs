//! Flink's data types as written in SQL, in a column's definition and after CAST's AS. Not here: what
//! conversions between types are allowed.

use super::cursor::{Cursor, unquoted};
use super::lexer::Script;
use crate::ast::Span;
use crate::error::SqlError;
use crate::types::{DataType, MAX_LENGTH, RowField, TypeKind};
use sqlparser::tokenizer::Token;

/// Types inside types.
const MAX_DEPTH: usize = 64;

const MAX_DECIMAL_PRECISION: u32 = 38;
const MAX_TIME_PRECISION: u32 = 9;

/// Reads a whole text as a type: `ROW<a INT NOT NULL>`.
pub fn parse_type(text: &str) -> Result<DataType, SqlError> {
    let script = Script::new(text)?;
    let mut cursor = Cursor::new(&script);
    let data_type = data_type(&mut cursor)?;
    if cursor.at_end() { Ok(data_type) } else { Err(cursor.expected("the end of the type")) }
}

/// Reads a type with its nullability, which is nullable where nothing is said.
pub(super) fn data_type(cursor: &mut Cursor) -> Result<DataType, SqlError> {
    nested(cursor, 0)
}

fn nested(cursor: &mut Cursor, depth: usize) -> Result<DataType, SqlError> {
    if depth > MAX_DEPTH {
        return Err(SqlError::syntax(format!("types are nested more than {MAX_DEPTH} deep")).at(cursor.span()));
    }
    let kind = kind(cursor, depth)?;
    let mut data_type = DataType { kind, nullable: nullability(cursor)? };
    // `INT NOT NULL ARRAY MULTISET`: each suffix wraps what stands before it.
    for wraps in depth.. {
        let wrap = if cursor.take_keyword("ARRAY") {
            TypeKind::Array
        } else if cursor.take_keyword("MULTISET") {
            TypeKind::Multiset
        } else {
            break;
        };
        if wraps > MAX_DEPTH {
            return Err(SqlError::syntax(format!("types are nested more than {MAX_DEPTH} deep")).at(cursor.span()));
        }
        data_type = DataType { kind: wrap(Box::new(data_type)), nullable: nullability(cursor)? };
    }
    Ok(data_type)
}

fn nullability(cursor: &mut Cursor) -> Result<bool, SqlError> {
    if cursor.take_keywords(&["NOT", "NULL"]) {
        return Ok(false);
    }
    if cursor.is_keyword("NOT") && !cursor.is_keyword_at(1, "ENFORCED") {
        cursor.advance();
        return Err(cursor.expected("NULL after NOT"));
    }
    cursor.take_keyword("NULL");
    Ok(true)
}

fn kind(cursor: &mut Cursor, depth: usize) -> Result<TypeKind, SqlError> {
    let span = cursor.span();
    let Some(word) = unquoted(cursor.peek()) else {
        return Err(cursor.expected("a data type"));
    };
    let name = word.to_ascii_uppercase();
    cursor.advance();
    match name.as_str() {
        "BOOLEAN" => Ok(TypeKind::Boolean),
        "TINYINT" => Ok(TypeKind::TinyInt),
        "SMALLINT" => Ok(TypeKind::SmallInt),
        "INT" | "INTEGER" => Ok(TypeKind::Int),
        "BIGINT" => Ok(TypeKind::BigInt),
        "FLOAT" => Ok(TypeKind::Float),
        "DOUBLE" => {
            cursor.take_keyword("PRECISION");
            Ok(TypeKind::Double)
        }
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(cursor),
        "STRING" => Ok(TypeKind::VarChar { length: MAX_LENGTH }),
        "BYTES" => Ok(TypeKind::VarBinary { length: MAX_LENGTH }),
        "VARCHAR" => Ok(TypeKind::VarChar { length: length(cursor, MAX_LENGTH)? }),
        "VARBINARY" => Ok(TypeKind::VarBinary { length: length(cursor, MAX_LENGTH)? }),
        "CHAR" | "CHARACTER" if cursor.take_keyword("VARYING") => {
            Ok(TypeKind::VarChar { length: length(cursor, MAX_LENGTH)? })
        }
        "CHAR" | "CHARACTER" => Ok(TypeKind::Char { length: length(cursor, 1)? }),
        "BINARY" if cursor.take_keyword("VARYING") => Ok(TypeKind::VarBinary { length: length(cursor, MAX_LENGTH)? }),
        "BINARY" => Ok(TypeKind::Binary { length: length(cursor, 1)? }),
        "DATE" => Ok(TypeKind::Date),
        "TIME" => time(cursor, span),
        "TIMESTAMP" => timestamp(cursor, span),
        "TIMESTAMP_LTZ" => Ok(TypeKind::TimestampLtz { precision: time_precision(cursor, 6)? }),
        "INTERVAL" => interval(cursor),
        "ARRAY" => Ok(TypeKind::Array(Box::new(single(cursor, depth, "ARRAY", "INT")?))),
        "MULTISET" => Ok(TypeKind::Multiset(Box::new(single(cursor, depth, "MULTISET", "INT")?))),
        "MAP" => map(cursor, depth),
        "ROW" => row(cursor, depth),
        "RAW" | "STRUCTURED" | "VARIANT" | "BITMAP" | "NULL" => {
            Err(SqlError::unsupported(format!("the type {name}")).at(span))
        }
        _ => Err(unknown(word, &name, span)),
    }
}

/// `what` closes with '>'; `MAP<` has no other form.
fn open_angle(cursor: &mut Cursor, what: &str, example: &str) -> Result<(), SqlError> {
    if cursor.take(&Token::Lt) {
        Ok(())
    } else {
        Err(cursor.expected(&format!("'<' after {what}")).hint(format!("for instance {what}<{example}>")))
    }
}

fn close_angle(cursor: &mut Cursor) -> Result<(), SqlError> {
    if cursor.take(&Token::Gt) { Ok(()) } else { Err(cursor.expected("'>'")) }
}

fn single(cursor: &mut Cursor, depth: usize, what: &str, example: &str) -> Result<DataType, SqlError> {
    open_angle(cursor, what, example)?;
    let element = nested(cursor, depth + 1)?;
    close_angle(cursor)?;
    Ok(element)
}

fn map(cursor: &mut Cursor, depth: usize) -> Result<TypeKind, SqlError> {
    open_angle(cursor, "MAP", "STRING, INT")?;
    let key = nested(cursor, depth + 1)?;
    if !cursor.take(&Token::Comma) {
        return Err(cursor.expected("',' and the type of the map's values"));
    }
    let value = nested(cursor, depth + 1)?;
    close_angle(cursor)?;
    Ok(TypeKind::Map(Box::new(key), Box::new(value)))
}

/// `ROW<a INT 'comment', b STRING>`, or with round brackets. `<>` is one token.
fn row(cursor: &mut Cursor, depth: usize) -> Result<TypeKind, SqlError> {
    if cursor.take(&Token::Neq) {
        return Ok(TypeKind::Row(Vec::new()));
    }
    let close = match cursor.peek() {
        Token::Lt => Token::Gt,
        Token::LParen => Token::RParen,
        _ => return Err(cursor.expected("'<' after ROW").hint("for instance ROW<a INT, b STRING>")),
    };
    cursor.advance();
    let mut fields: Vec<RowField> = Vec::new();
    if cursor.take(&close) {
        return Ok(TypeKind::Row(fields));
    }
    loop {
        let span = cursor.span();
        let name = cursor.name("the name of a ROW's field")?;
        if fields.iter().any(|field| field.name == name) {
            return Err(SqlError::invalid(format!("the field `{name}` stands twice in this ROW")).at(span));
        }
        let data_type = nested(cursor, depth + 1)?;
        // A comment of a field has no meaning for a job.
        if matches!(cursor.peek(), Token::SingleQuotedString(_)) {
            cursor.advance();
        }
        fields.push(RowField { name, data_type });
        if cursor.take(&close) {
            return Ok(TypeKind::Row(fields));
        }
        if !cursor.take(&Token::Comma) {
            return Err(cursor.expected(&format!("',' or '{close}'")));
        }
    }
}

/// A whole number in brackets, or nothing.
fn argument(cursor: &mut Cursor) -> Result<Option<(u32, Span)>, SqlError> {
    if !cursor.take(&Token::LParen) {
        return Ok(None);
    }
    let number = number(cursor)?;
    cursor.expect(&Token::RParen)?;
    Ok(Some(number))
}

fn number(cursor: &mut Cursor) -> Result<(u32, Span), SqlError> {
    let span = cursor.span();
    let Token::Number(digits, false) = cursor.peek() else {
        return Err(cursor.expected("a whole number"));
    };
    let Ok(number) = digits.parse() else {
        return Err(cursor.expected("a whole number up to 2147483647"));
    };
    cursor.advance();
    Ok((number, span))
}

fn within(number: (u32, Span), least: u32, most: u32, what: &str) -> Result<u32, SqlError> {
    let (value, span) = number;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(SqlError::invalid(format!("{what} is {value}, but must be from {least} to {most}")).at(span))
    }
}

/// `default` is what the type has without brackets. Flink's documentation says 1 for all of them, but its
/// planner takes VARCHAR and VARBINARY as STRING and BYTES, and so `CAST(x AS VARCHAR)` cuts nothing off.
fn length(cursor: &mut Cursor, default: u32) -> Result<u32, SqlError> {
    match argument(cursor)? {
        Some(length) => within(length, 1, MAX_LENGTH, "the length"),
        None => Ok(default),
    }
}

fn time_precision(cursor: &mut Cursor, default: u8) -> Result<u8, SqlError> {
    match argument(cursor)? {
        Some(precision) => Ok(within(precision, 0, MAX_TIME_PRECISION, "the precision")? as u8),
        None => Ok(default),
    }
}

fn decimal(cursor: &mut Cursor) -> Result<TypeKind, SqlError> {
    if !cursor.take(&Token::LParen) {
        return Ok(TypeKind::Decimal { precision: 10, scale: 0 });
    }
    let precision = within(number(cursor)?, 1, MAX_DECIMAL_PRECISION, "the precision of a DECIMAL")?;
    let scale = match cursor.take(&Token::Comma) {
        true => within(number(cursor)?, 0, precision, "the scale of a DECIMAL")?,
        false => 0,
    };
    if !cursor.take(&Token::RParen) {
        return Err(cursor.expected("',' or ')'"));
    }
    Ok(TypeKind::Decimal { precision: precision as u8, scale: scale as u8 })
}

fn time(cursor: &mut Cursor, span: Span) -> Result<TypeKind, SqlError> {
    let precision = time_precision(cursor, 0)?;
    if cursor.are_keywords(&["WITH", "TIME", "ZONE"]) || cursor.are_keywords(&["WITH", "LOCAL"]) {
        return Err(SqlError::unsupported("the type TIME WITH TIME ZONE").at(span));
    }
    cursor.take_keywords(&["WITHOUT", "TIME", "ZONE"]);
    Ok(TypeKind::Time { precision })
}

fn timestamp(cursor: &mut Cursor, span: Span) -> Result<TypeKind, SqlError> {
    let precision = time_precision(cursor, 6)?;
    if cursor.take_keywords(&["WITH", "LOCAL", "TIME", "ZONE"]) {
        return Ok(TypeKind::TimestampLtz { precision });
    }
    if cursor.are_keywords(&["WITH", "TIME", "ZONE"]) {
        return Err(SqlError::unsupported("the type TIMESTAMP WITH TIME ZONE")
            .at(span)
            .hint("use TIMESTAMP_LTZ(3), an instant shown in the session's time zone"));
    }
    cursor.take_keywords(&["WITHOUT", "TIME", "ZONE"]);
    Ok(TypeKind::Timestamp { precision })
}

/// `INTERVAL DAY(2) TO SECOND(3)` and its parts: the kind depends on the first unit only.
fn interval(cursor: &mut Cursor) -> Result<TypeKind, SqlError> {
    const YEAR_MONTH: &[&str] = &["YEAR", "MONTH"];
    const DAY_TIME: &[&str] = &["DAY", "HOUR", "MINUTE", "SECOND"];
    let (units, kind) = match unquoted(cursor.peek()).map(str::to_ascii_uppercase).as_deref() {
        Some("YEAR" | "MONTH") => (YEAR_MONTH, TypeKind::IntervalYearMonth),
        Some("DAY" | "HOUR" | "MINUTE" | "SECOND") => (DAY_TIME, TypeKind::IntervalDayTime),
        _ => return Err(cursor.expected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND after INTERVAL")),
    };
    let first = units.iter().position(|unit| cursor.is_keyword(unit)).expect("the unit was just matched");
    cursor.advance();
    interval_precision(cursor)?;
    if cursor.take_keyword("TO") {
        if !units[first + 1..].iter().any(|unit| cursor.take_keyword(unit)) {
            return Err(cursor.expected("a finer unit of the same kind of interval"));
        }
        interval_precision(cursor)?;
    }
    Ok(kind)
}

fn interval_precision(cursor: &mut Cursor) -> Result<(), SqlError> {
    if cursor.take(&Token::LParen) {
        within(number(cursor)?, 0, MAX_TIME_PRECISION, "the precision")?;
        if cursor.take(&Token::Comma) {
            within(number(cursor)?, 0, MAX_TIME_PRECISION, "the precision")?;
        }
        cursor.expect(&Token::RParen)?;
    }
    Ok(())
}

/// Types of other databases, and what Flink has instead.
fn unknown(word: &str, name: &str, span: Span) -> SqlError {
    let instead = match name {
        "TEXT" | "JSON" | "JSONB" | "UUID" | "CLOB" | "LONGTEXT" | "MEDIUMTEXT" | "NVARCHAR" | "VARCHAR2" | "ENUM"
        | "STR" | "CITEXT" => "STRING",
        "SERIAL" | "BIGSERIAL" | "LONG" | "INT8" | "INT64" | "UINT32" | "UNSIGNED" => "BIGINT",
        "INT4" | "INT32" | "MEDIUMINT" | "UINT16" => "INT",
        "INT2" | "INT16" | "SHORT" => "SMALLINT",
        "BYTE" => "TINYINT",
        "BOOL" | "BIT" => "BOOLEAN",
        "FLOAT8" | "FLOAT64" | "NUMBER" | "MONEY" => "DOUBLE or DECIMAL(p, s)",
        "FLOAT4" | "FLOAT32" | "REAL" => "FLOAT",
        "DATETIME" | "SMALLDATETIME" => "TIMESTAMP(3)",
        "TIMESTAMPTZ" | "TIMESTAMPLTZ" | "INSTANT" => "TIMESTAMP_LTZ(3)",
        "BLOB" | "BYTEA" => "BYTES",
        "STRUCT" | "OBJECT" => "ROW<…>",
        "LIST" => "ARRAY<…>",
        _ => {
            return SqlError::syntax(format!("expected a data type but found '{word}'"))
                .at(span)
                .hint("for instance BIGINT, STRING, TIMESTAMP(3), DECIMAL(10, 2), ARRAY<INT> or ROW<a INT>");
        }
    };
    SqlError::syntax(format!("{word} is not a data type of Flink SQL")).at(span).hint(format!("use {instead}"))
}
