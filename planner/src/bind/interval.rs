//! Interval literals and units of time. Not here: arithmetic with them (`operator.rs`).

use super::literal::constant;
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, Literal};
use crate::types::TypeKind;
use sqlparser::ast::{DateTimeField, Expr, Interval, Spanned, Value};

/// From the larger to the smaller, as far as literals combine them.
const MONTHS: &[(&str, i64)] = &[("QUARTER", 3), ("YEAR", 12), ("MONTH", 1)];
const MILLIS: &[(&str, i64)] = &[
    ("WEEK", 604_800_000),
    ("DAY", 86_400_000),
    ("HOUR", 3_600_000),
    ("MINUTE", 60_000),
    ("SECOND", 1_000),
    ("MILLISECOND", 1),
];

/// An interval of one unit.
pub(super) fn of_unit(unit: &str) -> Option<Expression> {
    let find = |units: &[(&str, i64)]| units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
    match (find(MONTHS), find(MILLIS)) {
        (Some(months), _) => Some(constant(Literal::Months(months as i32), TypeKind::IntervalYearMonth)),
        (None, Some(millis)) => Some(constant(Literal::Milliseconds(millis), TypeKind::IntervalDayTime)),
        (None, None) => None,
    }
}

/// A unit in the singular and in upper case, as `function::temporal::UNITS` has them.
pub(super) fn unit(field: &DateTimeField) -> String {
    let name = match field {
        DateTimeField::Week(_) => return "WEEK".to_owned(),
        DateTimeField::DayOfWeek => return "DOW".to_owned(),
        DateTimeField::DayOfYear => return "DOY".to_owned(),
        DateTimeField::Millenium => return "MILLENNIUM".to_owned(),
        other => other.to_string().to_ascii_uppercase(),
    };
    singular(&name)
}

pub(super) fn singular(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    let plural = matches!(
        name.as_str(),
        "YEARS"
            | "QUARTERS"
            | "MONTHS"
            | "WEEKS"
            | "DAYS"
            | "HOURS"
            | "MINUTES"
            | "SECONDS"
            | "MILLISECONDS"
            | "MICROSECONDS"
    );
    if plural { name[..name.len() - 1].to_owned() } else { name }
}

/// `INTERVAL '1' MINUTE`, `INTERVAL '1 02:03' DAY TO MINUTE`, `INTERVAL -'1' DAY`.
pub(super) fn literal(interval: &Interval, span: Span) -> Result<Expression, SqlError> {
    let (text, negative) = text(&interval.value, span)?;
    let Some(leading) = &interval.leading_field else {
        return Err(SqlError::syntax("an INTERVAL needs a unit")
            .at(span)
            .hint(format!("for instance INTERVAL '{text}' SECOND")));
    };
    let first = unit(leading);
    let last = interval.last_field.as_ref().map_or_else(|| first.clone(), unit);
    let unreadable = || {
        let range = if first == last { first.clone() } else { format!("{first} TO {last}") };
        SqlError::invalid(format!("'{text}' is not an interval {range}"))
            .at(span)
            .hint("for instance INTERVAL '10' SECOND, INTERVAL '1:30' MINUTE TO SECOND, INTERVAL '1 12' DAY TO HOUR")
    };
    let (text, negative) = match text.trim().strip_prefix('-') {
        Some(rest) => (rest, !negative),
        None => (text.trim().trim_start_matches('+'), negative),
    };
    let sign = if negative { -1 } else { 1 };
    if MONTHS.iter().any(|(name, _)| *name == first) {
        let months = sign * total(text, MONTHS, &first, &last, &['-']).ok_or_else(unreadable)?;
        let months = i32::try_from(months).map_err(|_| unreadable())?;
        return Ok(constant(Literal::Months(months), TypeKind::IntervalYearMonth));
    }
    let millis = sign * total(text, MILLIS, &first, &last, &[' ', ':']).ok_or_else(unreadable)?;
    Ok(constant(Literal::Milliseconds(millis), TypeKind::IntervalDayTime))
}

fn text(value: &Expr, span: Span) -> Result<(&str, bool), SqlError> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok((text, false)),
            other => Err(SqlError::syntax("an INTERVAL's value is written in single quotes")
                .at(span)
                .hint(format!("INTERVAL '{other}' …"))),
        },
        Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr } => {
            text(expr, span).map(|(text, negative)| (text, !negative))
        }
        Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Plus, expr } => text(expr, span),
        other => Err(SqlError::unsupported("an INTERVAL that is not a literal").at(other.span().into())),
    }
}

/// The sum over the units from `first` to `last`, one number each.
fn total(text: &str, units: &[(&str, i64)], first: &str, last: &str, separators: &[char]) -> Option<i64> {
    let from = units.iter().position(|(name, _)| *name == first)?;
    let to = units.iter().position(|(name, _)| *name == last)?;
    let units = units.get(from..=to)?;
    let mut parts = text.split(separators);
    let mut sum = 0_i64;
    for (name, size) in units {
        let part = parts.next()?.trim();
        let (whole, fraction) = match part.split_once('.') {
            Some((whole, fraction)) if *name == "SECOND" => (whole, fraction),
            Some(_) => return None,
            None => (part, ""),
        };
        if !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) || fraction.len() > 9 {
            return None;
        }
        sum = sum.checked_add(whole.parse::<i64>().ok()?.checked_mul(*size)?)?;
        if !fraction.is_empty() {
            sum = sum.checked_add(format!("{fraction:0<3}").get(..3)?.parse().ok()?)?;
        }
    }
    parts.next().is_none().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_add_up_their_units() {
        let millis = |text, first, last| total(text, MILLIS, first, last, &[' ', ':']);
        assert_eq!(millis("10", "SECOND", "SECOND"), Some(10_000));
        assert_eq!(millis("1.5", "SECOND", "SECOND"), Some(1_500));
        assert_eq!(millis("1 02:03:04.005", "DAY", "SECOND"), Some(93_784_005));
        assert_eq!(millis("1:30", "MINUTE", "SECOND"), Some(90_000));
        assert_eq!(millis("1:30", "MINUTE", "MINUTE"), None);
        assert_eq!(millis("x", "DAY", "DAY"), None);
        assert_eq!(total("1-6", MONTHS, "YEAR", "MONTH", &['-']), Some(18));
    }
}
