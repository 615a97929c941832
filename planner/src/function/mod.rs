//! The catalogue of built-in scalar functions and operators: every name that a plan's `Call` can carry,
//! with the arguments it gets and the result it promises. The runtime implements exactly this list.
//! Not here: how SQL syntax maps to a call (`bind/expression.rs`), and aggregates (`bind/aggregate.rs`).
//!
//! What an implementation may rely on: the binder has cast every argument to what [`Parameter`] says,
//! and has filled in the [`FunctionDefinition::defaults`]; `CASE`, `CAST` and field access are nodes of
//! their own, and `IF`, `NULLIF`, `BETWEEN`, `NOT LIKE` and the like are spelled with other calls.

pub mod conditional;
pub mod numeric;
pub mod string;
pub mod temporal;

use crate::expression::Function;
use std::borrow::Cow;

/// One function or operator.
#[derive(Clone, Copy, Debug)]
pub struct FunctionDefinition {
    /// The canonical name, as plans carry it.
    pub name: &'static str,
    /// The names by which SQL calls it as `name(arguments)`; none for what only has syntax of its own.
    pub sql_names: &'static [&'static str],
    pub parameters: &'static [Parameter],
    /// How many of the parameters have to be given; the rest are optional.
    pub required: usize,
    /// The last parameter may be repeated.
    pub variadic: bool,
    /// What the last optional parameters are when left out. Where it is shorter than the number of
    /// optional parameters, a call can have fewer arguments than `parameters`.
    pub defaults: &'static [Default],
    pub result: ResultType,
    pub nulls: Nulls,
    /// The exact meaning, in Flink's terms.
    pub doc: &'static str,
}

/// What the arguments of a call are after the binder's casts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Any type, as it is.
    Any,
    /// All parameters of this kind in a call have one kind of type, the common one of the arguments.
    Common,
    Boolean,
    Int,
    BigInt,
    Double,
    /// STRING.
    String,
    /// BYTES.
    Bytes,
    /// Any numeric type, as it is.
    Numeric,
    /// TIMESTAMP(p) or TIMESTAMP_LTZ(p), as it is; a DATE is cast to TIMESTAMP(3).
    Timestamp,
    /// DATE, TIME, TIMESTAMP(p) or TIMESTAMP_LTZ(p), as it is.
    Temporal,
    /// INTERVAL YEAR TO MONTH or INTERVAL DAY TO SECOND, as it is.
    Interval,
    /// A STRING literal, one of [`temporal::UNITS`].
    Unit,
    /// ARRAY, MAP or MULTISET, as it is.
    Collection,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    String(&'static str),
    Int(i32),
}

/// How the result's type follows from the arguments; its nullability is [`Nulls`]'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultType {
    Boolean,
    Int,
    BigInt,
    Double,
    String,
    Bytes,
    Date,
    /// TIME(0).
    Time,
    /// TIMESTAMP(3).
    Timestamp,
    /// TIMESTAMP_LTZ(3).
    TimestampLtz,
    /// The type of the argument at this index.
    Argument(usize),
    /// The type that the `Common` arguments have.
    Common,
    /// By a rule of the binder that `doc` states.
    Rule,
}

/// What NULL does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// A NULL argument makes the result NULL, and nothing else does.
    Strict,
    /// A NULL argument makes the result NULL, and other things (named in `doc`) do as well.
    StrictNullable,
    /// By the meaning in `doc`; the result's type is nullable if an argument's is.
    Own,
    /// The result is never NULL.
    Never,
}

impl FunctionDefinition {
    const fn new(name: &'static str, parameters: &'static [Parameter], result: ResultType, doc: &'static str) -> Self {
        Self {
            name,
            sql_names: &[],
            parameters,
            required: parameters.len(),
            variadic: false,
            defaults: &[],
            result,
            nulls: Nulls::Strict,
            doc,
        }
    }

    const fn called(self, sql_names: &'static [&'static str]) -> Self {
        Self { sql_names, ..self }
    }

    const fn nulls(self, nulls: Nulls) -> Self {
        Self { nulls, ..self }
    }

    const fn variadic(self) -> Self {
        Self { variadic: true, ..self }
    }

    /// The parameters from `required` on may be left out.
    const fn required(self, required: usize) -> Self {
        Self { required, ..self }
    }

    const fn defaults(self, defaults: &'static [Default]) -> Self {
        Self { defaults, required: self.parameters.len() - defaults.len(), ..self }
    }

    /// As the `Call` node carries it.
    pub const fn function(&self) -> Function {
        Function(Cow::Borrowed(self.name))
    }
}

/// Every function, by kind and in reading order.
pub fn all() -> impl Iterator<Item = &'static FunctionDefinition> {
    conditional::FUNCTIONS.iter().chain(numeric::FUNCTIONS).chain(string::FUNCTIONS).chain(temporal::FUNCTIONS)
}

/// By the canonical name.
pub fn by_name(name: &str) -> Option<&'static FunctionDefinition> {
    all().find(|definition| definition.name == name)
}

/// By a name as SQL calls it, in any case.
pub fn by_sql_name(name: &str) -> Option<&'static FunctionDefinition> {
    all().find(|definition| definition.sql_names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_is_defined_once() {
        let mut names = HashSet::new();
        let mut sql_names = HashSet::new();
        for definition in all() {
            assert!(names.insert(definition.name), "{} is defined twice", definition.name);
            for name in definition.sql_names {
                assert!(sql_names.insert(*name), "{name} is callable twice");
            }
        }
    }

    #[test]
    fn every_definition_is_consistent() {
        for definition in all() {
            let name = definition.name;
            assert!(definition.required <= definition.parameters.len(), "{name}");
            assert!(definition.required + definition.defaults.len() <= definition.parameters.len(), "{name}");
            assert!(!definition.doc.is_empty(), "{name}");
            if definition.result == ResultType::Common {
                assert!(definition.parameters.contains(&Parameter::Common), "{name}");
            }
        }
    }
}
