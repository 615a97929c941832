//! Expressions of sqlparser's tree to bound ones: which form is which. Not here: operators
//! (`operator.rs`), calls of functions (`call.rs`) and aggregates (`aggregate.rs`).

use super::aggregate::AggregateCalls;
use super::coerce::{self, common};
use super::scope::{Scope, field};
use super::{call, interval, literal, operator};
use crate::ast::Span;
use crate::error::SqlError;
use crate::expression::{Expression, ExpressionKind, Literal};
use crate::parse::cast_type;
use crate::types::{DataType, TypeKind};
use sqlparser::ast::{
    AccessExpr, CaseWhen, CastKind, CeilFloorKind, Expr, Ident, Spanned, Subscript, TrimWhereField, TypedString,
    UnaryOperator, Value, ValueWithSpan,
};

/// Binds expressions over the columns of a scope.
pub(super) struct ExpressionBinder<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// Collects the aggregate calls where they are allowed.
    pub(super) aggregates: Option<&'a mut AggregateCalls>,
    /// What is bound, as an error names it: "WHERE".
    pub(super) clause: &'static str,
}

impl<'a> ExpressionBinder<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, clause: &'static str) -> Self {
        Self { scope, aggregates: None, clause }
    }

    /// A condition: BOOLEAN.
    pub(super) fn condition(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        let bound = self.bind(expression)?;
        match bound.data_type.kind {
            TypeKind::Boolean => Ok(bound),
            TypeKind::Null => Ok(literal::null(TypeKind::Boolean)),
            kind => Err(SqlError::invalid(format!("{} needs a BOOLEAN, but this is {kind}", self.clause))
                .at(expression.span().into())),
        }
    }

    pub(super) fn bind(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        let span: Span = expression.span().into();
        self.form(expression, span).map_err(|error| error.at(span))
    }

    fn form(&mut self, expression: &Expr, span: Span) -> Result<Expression, SqlError> {
        match expression {
            Expr::Identifier(name) => self.name(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(names) => self.name(names),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => constant(value),
            Expr::TypedString(typed) => typed_string(typed),
            Expr::Interval(value) => interval::literal(value, span),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                operator::binary(op, left, right)
            }
            Expr::IsNull(e) | Expr::IsUnknown(e) => self.test("IS_NULL", e),
            Expr::IsNotNull(e) | Expr::IsNotUnknown(e) => self.test("IS_NOT_NULL", e),
            Expr::IsTrue(e) => self.test("IS_TRUE", e),
            Expr::IsNotTrue(e) => self.test("IS_NOT_TRUE", e),
            Expr::IsFalse(e) => self.test("IS_FALSE", e),
            Expr::IsNotFalse(e) => self.test("IS_NOT_FALSE", e),
            Expr::IsDistinctFrom(l, r) => operator::compare("IS_DISTINCT_FROM", self.bind(l)?, self.bind(r)?),
            Expr::IsNotDistinctFrom(l, r) => operator::compare("IS_NOT_DISTINCT_FROM", self.bind(l)?, self.bind(r)?),
            Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_deref())
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                let matches = call::by_name("REGEXP", vec![self.bind(expr)?, self.bind(pattern)?])?;
                Ok(if *negated { operator::not(matches) } else { matches })
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Cast { kind, expr, data_type, .. } => self.cast(kind, expr, data_type),
            Expr::Function(function) => self.function(function),
            _ => self.syntax(expression),
        }
    }

    /// The functions with a syntax of their own.
    fn syntax(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        match expression {
            Expr::Extract { field, expr, .. } => {
                let unit = interval::unit(field);
                let time = self.bind(expr)?;
                call::extract(&unit, time)
            }
            Expr::Ceil { expr, field } => self.floor_or_ceil("CEIL", expr, field),
            Expr::Floor { expr, field } => self.floor_or_ceil("FLOOR", expr, field),
            Expr::Position { expr, r#in } => call::by_name("POSITION", vec![self.bind(expr)?, self.bind(r#in)?]),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.bind(expr)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(self.bind(part)?);
                }
                call::by_name("SUBSTRING", arguments)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let function = match trim_where {
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                    Some(TrimWhereField::Both) | None => "BTRIM",
                };
                let mut arguments = vec![self.bind(expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.bind(what)?);
                }
                call::by_name(function, arguments)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = vec![self.bind(expr)?, self.bind(overlay_what)?, self.bind(overlay_from)?];
                if let Some(length) = overlay_for {
                    arguments.push(self.bind(length)?);
                }
                call::by_name("OVERLAY", arguments)
            }
            Expr::Array(array) => {
                let elements = array.elem.iter().map(|element| self.bind(element)).collect::<Result<_, _>>()?;
                call::by_name("ARRAY", elements)
            }
            Expr::Tuple(values) => {
                let values = values.iter().map(|value| self.bind(value)).collect::<Result<_, _>>()?;
                call::by_name("ROW", values)
            }
            other => Err(unsupported(other)),
        }
    }

    fn name(&mut self, names: &[Ident]) -> Result<Expression, SqlError> {
        let resolved = self.scope.resolve(names);
        match (&resolved, names) {
            // CURRENT_TIMESTAMP and the like are written without brackets.
            (Err(_), [name]) if name.quote_style.is_none() => match call::without_brackets(&name.value) {
                Some(expression) => Ok(expression),
                None => resolved,
            },
            _ => resolved,
        }
    }

    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<Expression, SqlError> {
        // `a.b[1].c` comes with `a` as the root: names from the start are resolved together.
        let mut names = match root {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(names) => names.clone(),
            _ => Vec::new(),
        };
        let mut chain = chain.iter().peekable();
        while !names.is_empty()
            && let Some(AccessExpr::Dot(Expr::Identifier(name))) = chain.peek()
        {
            names.push(name.clone());
            chain.next();
        }
        let mut expression = if names.is_empty() { self.bind(root)? } else { self.name(&names)? };
        for access in chain {
            expression = match access {
                AccessExpr::Dot(Expr::Identifier(name)) => field(expression, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let key = self.bind(index)?;
                    call::by_name("ITEM", vec![expression, key])?
                }
                AccessExpr::Dot(other) => {
                    return Err(SqlError::syntax("expected the name of a field").at(other.span().into()));
                }
                AccessExpr::Subscript(_) => return Err(SqlError::unsupported("a slice of an array")),
            };
        }
        Ok(expression)
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &Expr) -> Result<Expression, SqlError> {
        if let (UnaryOperator::Minus, Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. })) =
            (operator, operand)
        {
            // The smallest BIGINT has no positive counterpart.
            if text == "9223372036854775808" {
                return Ok(literal::constant(Literal::Integer(i64::MIN), TypeKind::BigInt));
            }
        }
        let bound = self.bind(operand)?;
        match operator {
            UnaryOperator::Plus => operator::require_number_or_interval("+", bound),
            UnaryOperator::Minus => operator::negate(bound),
            UnaryOperator::Not => match bound.data_type.kind {
                TypeKind::Boolean | TypeKind::Null => Ok(operator::not(coerce::cast(bound, &TypeKind::Boolean))),
                kind => Err(SqlError::invalid(format!("NOT needs a BOOLEAN, but this is {kind}"))),
            },
            other => Err(SqlError::syntax(format!("Flink SQL has no operator {other} here"))),
        }
    }

    fn test(&mut self, function: &'static str, operand: &Expr) -> Result<Expression, SqlError> {
        let operand = self.bind(operand)?;
        call::by_name(function, vec![operand])
    }

    fn between(&mut self, value: &Expr, negated: bool, low: &Expr, high: &Expr) -> Result<Expression, SqlError> {
        let (value, low, high) = (self.bind(value)?, self.bind(low)?, self.bind(high)?);
        let from = operator::compare("GREATER_THAN_OR_EQUAL", value.clone(), low)?;
        let to = operator::compare("LESS_THAN_OR_EQUAL", value, high)?;
        let both = operator::and(from, to);
        Ok(if negated { operator::not(both) } else { both })
    }

    fn in_list(&mut self, value: &Expr, list: &[Expr], negated: bool) -> Result<Expression, SqlError> {
        let mut arguments = vec![self.bind(value)?];
        for element in list {
            arguments.push(self.bind(element)?);
        }
        let found = match <[Expression; 2]>::try_from(arguments) {
            Ok([value, only]) => operator::compare("EQUALS", value, only)?,
            Err(arguments) => call::by_name("IN", arguments)?,
        };
        Ok(if negated { operator::not(found) } else { found })
    }

    fn like(
        &mut self,
        negated: bool,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
    ) -> Result<Expression, SqlError> {
        let mut arguments = vec![self.bind(value)?, self.bind(pattern)?];
        if let Some(escape) = escape {
            let escape = self.bind(escape)?;
            match &escape.kind {
                ExpressionKind::Literal(Literal::String(text)) if text.chars().count() == 1 => arguments.push(escape),
                _ => return Err(SqlError::invalid("ESCAPE needs a string of one character")),
            }
        }
        let matches = call::by_name("LIKE", arguments)?;
        Ok(if negated { operator::not(matches) } else { matches })
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Expression, SqlError> {
        let operand = operand.map(|operand| self.bind(operand)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for CaseWhen { condition, result } in conditions {
            let condition = match &operand {
                Some(operand) => operator::compare("EQUALS", operand.clone(), self.bind(condition)?)
                    .map_err(|error| error.at(condition.span().into()))?,
                None => self.condition_of_case(condition)?,
            };
            branches.push((condition, self.bind(result)?));
        }
        let otherwise = match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => literal::null(TypeKind::Null),
        };
        case(branches, otherwise)
    }

    fn condition_of_case(&mut self, condition: &Expr) -> Result<Expression, SqlError> {
        let clause = std::mem::replace(&mut self.clause, "WHEN");
        let bound = self.condition(condition);
        self.clause = clause;
        bound
    }

    fn cast(
        &mut self,
        kind: &CastKind,
        input: &Expr,
        data_type: &sqlparser::ast::DataType,
    ) -> Result<Expression, SqlError> {
        let try_cast = match kind {
            CastKind::Cast => false,
            CastKind::TryCast => true,
            CastKind::SafeCast | CastKind::DoubleColon => {
                return Err(SqlError::syntax("Flink SQL casts with CAST(x AS type) or TRY_CAST(x AS type)"));
            }
        };
        let target = cast_type(data_type)?.kind;
        let input = self.bind(input)?;
        if coerce::same(&input.data_type.kind, &target) {
            return Ok(input);
        }
        if !coerce::castable(&input.data_type.kind, &target) {
            let from = &input.data_type.kind;
            let error = SqlError::invalid(format!("{from} can't be cast to {target}"));
            return Err(match (from.is_numeric(), target.is_timestamp()) {
                (true, true) => error
                    .hint("TO_TIMESTAMP_LTZ(n, 3) reads milliseconds since the epoch, TO_TIMESTAMP_LTZ(n, 0) seconds"),
                _ if from.is_timestamp() && target.is_numeric() => {
                    error.hint("EXTRACT(EPOCH FROM t) gives seconds since the epoch")
                }
                _ => error,
            });
        }
        let nullable = input.data_type.nullable || try_cast;
        Ok(coerce::explicit_cast(input, DataType { kind: target, nullable }, try_cast))
    }

    fn floor_or_ceil(
        &mut self,
        function: &'static str,
        input: &Expr,
        field: &CeilFloorKind,
    ) -> Result<Expression, SqlError> {
        let input = self.bind(input)?;
        match field {
            CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) => {
                call::by_name(function, vec![input])
            }
            CeilFloorKind::DateTimeField(field) => call::floor_to(function, input, &interval::unit(field)),
            CeilFloorKind::Scale(_) => Err(SqlError::invalid(format!("{function} takes one number"))
                .hint("ROUND(x, places) rounds to decimal places")),
        }
    }
}

/// `CASE`, its results in their common type.
pub(super) fn case(branches: Vec<(Expression, Expression)>, otherwise: Expression) -> Result<Expression, SqlError> {
    let mut kind = otherwise.data_type.kind.clone();
    let mut nullable = otherwise.data_type.nullable;
    for (_, result) in &branches {
        kind = common(&kind, &result.data_type.kind).ok_or_else(|| {
            SqlError::invalid(format!("the results of CASE have no common type: {kind} and {}", result.data_type.kind))
                .hint("CAST them to one type")
        })?;
        nullable |= result.data_type.nullable;
    }
    let branches = branches.into_iter().map(|(when, then)| (when, coerce::cast(then, &kind))).collect();
    let otherwise = Box::new(coerce::cast(otherwise, &kind));
    Ok(Expression { kind: ExpressionKind::Case { branches, otherwise }, data_type: DataType { kind, nullable } })
}

fn constant(value: &ValueWithSpan) -> Result<Expression, SqlError> {
    match &value.value {
        Value::Number(text, _) => literal::number(text),
        Value::SingleQuotedString(text) | Value::UnicodeStringLiteral(text) => Ok(literal::string(text)),
        Value::Boolean(value) => Ok(literal::boolean(*value)),
        Value::Null => Ok(literal::null(TypeKind::Null)),
        Value::HexStringLiteral(digits) => binary(digits),
        other => Err(SqlError::syntax(format!("{other} is not a literal of Flink SQL"))),
    }
}

/// `X'00FF'`.
fn binary(digits: &str) -> Result<Expression, SqlError> {
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let bytes =
        bytes.ok_or_else(|| SqlError::syntax(format!("X'{digits}' is not made of pairs of hexadecimal digits")))?;
    let length = (bytes.len() as u32).max(1);
    Ok(literal::constant(Literal::Binary(bytes), TypeKind::Binary { length }))
}

/// `DATE '2026-01-31'`, `TIME '12:00:00'`, `TIMESTAMP '2026-01-31 12:00:00.123'`.
fn typed_string(typed: &TypedString) -> Result<Expression, SqlError> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(SqlError::syntax("expected a string in single quotes"));
    };
    let unreadable = |what: &str, form: &str| {
        SqlError::invalid(format!("'{text}' is not a {what}")).hint(format!("the form is {form}"))
    };
    match &typed.data_type {
        sqlparser::ast::DataType::Date => literal::date(text)
            .map(|days| literal::constant(Literal::Date(days), TypeKind::Date))
            .ok_or_else(|| unreadable("DATE", "DATE '2026-01-31'")),
        sqlparser::ast::DataType::Time(..) => literal::time(text)
            .map(|millis| literal::constant(Literal::Time(millis), TypeKind::Time { precision: 0 }))
            .ok_or_else(|| unreadable("TIME", "TIME '12:34:56'")),
        sqlparser::ast::DataType::Timestamp(..) => {
            let precision = literal::fraction_digits(text);
            literal::timestamp(text, precision)
                .map(|value| literal::constant(Literal::Timestamp(value), TypeKind::Timestamp { precision }))
                .ok_or_else(|| unreadable("TIMESTAMP", "TIMESTAMP '2026-01-31 12:34:56.789'"))
        }
        other => Err(SqlError::syntax(format!("{other} '…' is not a literal of Flink SQL"))
            .hint(format!("CAST('…' AS {other})"))),
    }
}

/// The error for a form that is not bound, by its name in Flink.
fn unsupported(expression: &Expr) -> SqlError {
    SqlError::unsupported(match expression {
        Expr::InSubquery { .. } => "IN (subquery)",
        Expr::Exists { .. } => "EXISTS (subquery)",
        Expr::Subquery(_) => "a scalar subquery",
        Expr::SimilarTo { .. } => "SIMILAR TO",
        Expr::Like { .. } => "LIKE ANY",
        Expr::IsJson { .. } => "IS JSON",
        Expr::AtTimeZone { .. } => "AT TIME ZONE",
        Expr::Map(_) => "the MAP constructor",
        Expr::AnyOp { .. } | Expr::AllOp { .. } => "a comparison with ANY, SOME or ALL",
        Expr::GroupingSets(_) => "GROUPING SETS",
        Expr::Cube(_) => "CUBE",
        Expr::Rollup(_) => "ROLLUP",
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => return SqlError::syntax("`*` can't be used here"),
        Expr::Trim { .. } | Expr::ILike { .. } => return SqlError::syntax("this is not a form of Flink SQL"),
        other => return SqlError::unsupported(format!("the expression {other}")),
    })
}
