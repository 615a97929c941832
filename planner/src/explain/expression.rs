//! Expressions as SQL, with the names of the input's columns. Not here: operators (`explain.rs`).

use crate::bind::{date_text, decimal_text, per_second};
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::types::TypeKind;

/// Operators between their operands, with how tightly they bind.
const INFIX: &[(&str, &str, u8)] = &[
    ("OR", "OR", 1),
    ("AND", "AND", 2),
    ("EQUALS", "=", 4),
    ("NOT_EQUALS", "<>", 4),
    ("LESS_THAN", "<", 4),
    ("LESS_THAN_OR_EQUAL", "<=", 4),
    ("GREATER_THAN", ">", 4),
    ("GREATER_THAN_OR_EQUAL", ">=", 4),
    ("IS_DISTINCT_FROM", "IS DISTINCT FROM", 4),
    ("IS_NOT_DISTINCT_FROM", "IS NOT DISTINCT FROM", 4),
    ("PLUS", "+", 5),
    ("MINUS", "-", 5),
    ("DATETIME_PLUS", "+", 5),
    ("DATETIME_MINUS", "-", 5),
    ("TIMES", "*", 6),
    ("DIVIDE", "/", 6),
    ("MOD", "%", 6),
];

/// Tests after their operand.
const POSTFIX: &[(&str, &str)] = &[
    ("IS_NULL", "IS NULL"),
    ("IS_NOT_NULL", "IS NOT NULL"),
    ("IS_TRUE", "IS TRUE"),
    ("IS_NOT_TRUE", "IS NOT TRUE"),
    ("IS_FALSE", "IS FALSE"),
    ("IS_NOT_FALSE", "IS NOT FALSE"),
];

const NOT: u8 = 3;
const TEST: u8 = 4;
const ATOM: u8 = 9;

pub(super) fn print(expression: &Expression, input: &[&str]) -> String {
    printed(expression, input).0
}

/// The text, and how tightly its outermost operator binds.
fn printed(expression: &Expression, input: &[&str]) -> (String, u8) {
    let atom = |text: String| (text, ATOM);
    match &expression.kind {
        ExpressionKind::Column(index) => {
            atom(input.get(*index).map_or_else(|| format!("${index}"), |name| (*name).to_owned()))
        }
        ExpressionKind::Literal(value) => atom(print_literal(value, &expression.data_type.kind)),
        ExpressionKind::Call { function, arguments } => call(function.name(), arguments, input),
        ExpressionKind::Cast { input: value, try_cast } => {
            let name = if *try_cast { "TRY_CAST" } else { "CAST" };
            atom(format!("{name}({} AS {})", print(value, input), expression.data_type.kind))
        }
        ExpressionKind::Case { branches, otherwise } => {
            let mut text = "CASE".to_owned();
            for (condition, result) in branches {
                text.push_str(&format!(" WHEN {} THEN {}", print(condition, input), print(result, input)));
            }
            atom(format!("{text} ELSE {} END", print(otherwise, input)))
        }
        ExpressionKind::Field { input: row, index } => {
            let name = match &row.data_type.kind {
                TypeKind::Row(fields) => fields.get(*index).map(|field| field.name.clone()),
                _ => None,
            };
            atom(format!("{}.{}", operand(row, ATOM, input), name.unwrap_or_else(|| index.to_string())))
        }
    }
}

/// In brackets if it binds less tightly than `least`.
fn operand(expression: &Expression, least: u8, input: &[&str]) -> String {
    let (text, binds) = printed(expression, input);
    if binds < least { format!("({text})") } else { text }
}

fn call(name: &str, arguments: &[Expression], input: &[&str]) -> (String, u8) {
    if let Some((_, symbol, binds)) = INFIX.iter().find(|(known, ..)| *known == name) {
        // Only the first operand can stand without brackets beside an operator that binds as tightly.
        let operands =
            arguments.iter().enumerate().map(|(index, argument)| operand(argument, binds + u8::from(index > 0), input));
        return (operands.collect::<Vec<_>>().join(&format!(" {symbol} ")), *binds);
    }
    if let (Some((_, test)), [value]) = (POSTFIX.iter().find(|(known, _)| *known == name), arguments) {
        return (format!("{} {test}", operand(value, TEST + 1, input)), TEST);
    }
    match (name, arguments) {
        ("NOT", [value]) => (format!("NOT {}", operand(value, NOT, input)), NOT),
        ("NEGATE", [value]) => (format!("-{}", operand(value, ATOM, input)), 7),
        ("LIKE", [value, pattern]) => {
            (format!("{} LIKE {}", operand(value, TEST + 1, input), operand(pattern, TEST + 1, input)), TEST)
        }
        ("IN", [value, list @ ..]) => {
            let list: Vec<String> = list.iter().map(|element| print(element, input)).collect();
            (format!("{} IN ({})", operand(value, TEST + 1, input), list.join(", ")), TEST)
        }
        ("ITEM", [value, key]) => (format!("{}[{}]", operand(value, ATOM, input), print(key, input)), ATOM),
        _ => {
            let arguments: Vec<String> = arguments.iter().map(|argument| print(argument, input)).collect();
            (format!("{name}({})", arguments.join(", ")), ATOM)
        }
    }
}

pub(super) fn print_literal(value: &Literal, kind: &TypeKind) -> String {
    match value {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(value) => value.to_string().to_uppercase(),
        Literal::Integer(value) => value.to_string(),
        Literal::Decimal(value) => match kind {
            TypeKind::Decimal { scale, .. } => decimal_text(*value, *scale),
            _ => value.to_string(),
        },
        Literal::Double(value) => format!("{value:?}"),
        Literal::String(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Binary(bytes) => format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
        Literal::Date(days) => format!("DATE '{}'", date_text((*days).into())),
        Literal::Time(millis) => format!("TIME '{}'", clock((*millis).into(), 1_000)),
        Literal::Timestamp(value) => {
            let per_second = match kind {
                TypeKind::Timestamp { precision } | TypeKind::TimestampLtz { precision } => per_second(*precision),
                _ => 1_000,
            };
            let per_day = 86_400 * per_second;
            let day = date_text(value.div_euclid(per_day));
            format!("TIMESTAMP '{day} {}'", clock(value.rem_euclid(per_day), per_second))
        }
        Literal::Months(months) => format!("INTERVAL '{months}' MONTH"),
        Literal::Milliseconds(millis) if millis % 1_000 == 0 => format!("INTERVAL '{}' SECOND", millis / 1_000),
        Literal::Milliseconds(millis) => format!("INTERVAL '{}' SECOND", decimal_text((*millis).into(), 3)),
    }
}

/// `HH:mm:ss[.fraction]`.
fn clock(value: i64, per_second: i64) -> String {
    let (seconds, fraction) = (value / per_second, value % per_second);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 {
        return text;
    }
    let digits = per_second.ilog10() as usize;
    format!("{text}.{}", format!("{fraction:0digits$}").trim_end_matches('0'))
}
