//! The `datagen` connector, which makes rows up. Not here: the generators.

use super::option::{OptionDescription, OptionError, ValueKind};
use super::value;
use crate::error::SqlError;
use crate::plan;
use crate::types::TypeKind;
use std::collections::BTreeMap;
use std::time::Duration;

const DEFAULT_ROWS_PER_SECOND: u64 = 10_000;
const DEFAULT_LENGTH: usize = 100;

pub(super) const OPTIONS: &[OptionDescription] = &[
    OptionDescription::source("rows-per-second", ValueKind::Integer(1, i64::MAX)).default("10000"),
    OptionDescription::source("number-of-rows", ValueKind::Integer(0, i64::MAX)),
    OptionDescription::source("scan.parallelism", ValueKind::Integer(1, 1024))
        .ignored("a job has one parallelism, spec.parallelism"),
    OptionDescription::source("fields.#.kind", ValueKind::OneOf(&["random", "sequence"])).default("random"),
    OptionDescription::source("fields.#.min", ValueKind::Text),
    OptionDescription::source("fields.#.max", ValueKind::Text),
    OptionDescription::source("fields.#.start", ValueKind::Text),
    OptionDescription::source("fields.#.end", ValueKind::Text),
    OptionDescription::source("fields.#.length", ValueKind::Integer(0, 1 << 20)).default("100"),
    OptionDescription::source("fields.#.var-len", ValueKind::Boolean).default("false"),
    OptionDescription::source("fields.#.max-past", ValueKind::Duration).default("0"),
    OptionDescription::source("fields.#.null-rate", ValueKind::Text),
];

/// What a datagen table generates.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagenOptions {
    pub rows_per_second: u64,
    /// None: without an end, unless a sequence has one.
    pub number_of_rows: Option<u64>,
    /// One for each physical column, in order.
    pub fields: Vec<FieldGenerator>,
}

/// How a column is filled.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldGenerator {
    pub kind: GeneratorKind,
    /// Characters, bytes or elements.
    pub length: usize,
    /// Lengths from 1 to `length` rather than always `length`.
    pub variable_length: bool,
    /// Random times lie up to this far in the past.
    pub max_past: Duration,
    /// The share of NULLs, 0 to 1.
    pub null_rate: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GeneratorKind {
    /// Bounds of numbers, both included; None: those of the type.
    Random { min: Option<f64>, max: Option<f64> },
    /// Each number once; the table ends with its first sequence.
    Sequence { start: i64, end: i64 },
}

impl DatagenOptions {
    /// Reads a table of a plan. Fails only where the plan was not made by this crate.
    pub fn from_table(table: &plan::Table) -> Result<Self, SqlError> {
        Ok(Self::parse(table)?)
    }

    /// Also checks what the options of a column have to do with its type and with each other.
    pub(super) fn parse(table: &plan::Table) -> Result<Self, OptionError> {
        let number = |key: &str| table.options.get(key).and_then(|text| text.trim().parse::<u64>().ok());
        let fields = table.physical.iter().map(|column| FieldGenerator::new(&table.options, column));
        Ok(Self {
            rows_per_second: number("rows-per-second").unwrap_or(DEFAULT_ROWS_PER_SECOND),
            number_of_rows: number("number-of-rows"),
            fields: fields.collect::<Result<_, _>>()?,
        })
    }
}

impl FieldGenerator {
    fn new(options: &BTreeMap<String, String>, column: &plan::Column) -> Result<Self, OptionError> {
        let key = |suffix: &str| format!("fields.{}.{suffix}", column.name);
        let get = |suffix: &str| options.get(&key(suffix)).map(String::as_str);
        let wrong = |suffix: &str, expected: &str| {
            let value = get(suffix).unwrap_or_default();
            OptionError::invalid(&key(suffix), &format!("is '{value}', but must be {expected}"))
        };
        let number = |suffix: &str| match get(suffix).map(|text| text.trim().parse::<f64>()) {
            Some(Ok(number)) if number.is_finite() => Ok(Some(number)),
            Some(_) => Err(wrong(suffix, "a number")),
            None => Ok(None),
        };
        let whole = |suffix: &str| match get(suffix).map(|text| text.trim().parse::<i64>()) {
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(wrong(suffix, "a whole number")),
            None => {
                let error = SqlError::invalid(format!("a sequence needs the option '{}'", key(suffix)));
                Err(OptionError::new(&key("kind"), error))
            }
        };
        let kind = match get("kind") {
            Some("sequence") => {
                let (start, end) = (whole("start")?, whole("end")?);
                if !has_sequence(&column.data_type.kind) {
                    let data_type = &column.data_type;
                    let error = format!("a {data_type} column can't be a sequence: `{}`", column.name);
                    return Err(OptionError::new(&key("kind"), SqlError::invalid(error)));
                }
                if start > end {
                    return Err(wrong("end", &format!("at least the start, {start}")));
                }
                GeneratorKind::Sequence { start, end }
            }
            _ => GeneratorKind::Random { min: number("min")?, max: number("max")? },
        };
        if let GeneratorKind::Random { min: Some(min), max: Some(max) } = kind
            && min > max
        {
            return Err(wrong("max", &format!("at least the minimum, {min}")));
        }
        let null_rate = number("null-rate")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(wrong("null-rate", "from 0 to 1"));
        }
        Ok(Self {
            kind,
            length: get("length").and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_LENGTH),
            variable_length: get("var-len").is_some_and(|text| value::boolean(text) == Ok(true)),
            max_past: get("max-past").and_then(|text| value::duration(text).ok()).unwrap_or_default(),
            null_rate: null_rate as f32,
        })
    }
}

fn has_sequence(kind: &TypeKind) -> bool {
    kind.is_numeric() || kind.is_character() || kind.is_binary()
}

/// Every `fields.#` names a physical column; checked where the table is.
pub(super) fn field_of(key: &str) -> Option<&str> {
    let description = OPTIONS.iter().find(|option| option.key.contains('#') && option.matches(key))?;
    let (prefix, suffix) = description.key.split_once('#')?;
    key.strip_prefix(prefix)?.strip_suffix(suffix)
}
