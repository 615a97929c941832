//! The `json` format: its options, and how the runtime reads them. Not here: decoding and encoding.

use super::option::{OptionDescription, ValueKind};
use super::value;
use std::collections::BTreeMap;

/// Keys are relative to the format: `json.…`, `value.json.…` or `key.json.…` in the WITH clause.
pub(super) const OPTIONS: &[OptionDescription] = &[
    OptionDescription::source("fail-on-missing-field", ValueKind::Boolean).default("false"),
    OptionDescription::source("ignore-parse-errors", ValueKind::Boolean).default("false"),
    OptionDescription::both("timestamp-format.standard", ValueKind::OneOf(&["SQL", "ISO-8601"])).default("SQL"),
    OptionDescription::sink("map-null-key.mode", ValueKind::OneOf(&["FAIL", "DROP", "LITERAL"])).default("FAIL"),
    OptionDescription::sink("map-null-key.literal", ValueKind::Text).default("null"),
    OptionDescription::sink("encode.decimal-as-plain-number", ValueKind::Boolean).default("false"),
    OptionDescription::sink("encode.ignore-null-fields", ValueKind::Boolean).default("false"),
    OptionDescription::source("decode.json-parser.enabled", ValueKind::Boolean)
        .default("true")
        .ignored("there is only one decoder"),
];

/// How JSON is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonOptions {
    /// A field that a record lacks makes it a failed record; otherwise it is NULL.
    pub fail_on_missing_field: bool,
    /// A field that can't be read is NULL, and a record that can't be read is skipped.
    pub ignore_parse_errors: bool,
    pub timestamp_format: TimestampFormat,
    pub map_null_key: MapNullKey,
    /// `0.000000027` instead of `2.7E-8`.
    pub encode_decimal_as_plain_number: bool,
    pub encode_ignore_null_fields: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2020-12-30 12:13:14.123`, for TIMESTAMP_LTZ with a `Z`.
    Sql,
    /// `2020-12-30T12:13:14.123`, for TIMESTAMP_LTZ with a `Z`.
    Iso8601,
}

/// What becomes of a map's entry whose key is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapNullKey {
    Fail,
    Drop,
    /// Written with this key instead.
    Literal(String),
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            fail_on_missing_field: false,
            ignore_parse_errors: false,
            timestamp_format: TimestampFormat::Sql,
            map_null_key: MapNullKey::Fail,
            encode_decimal_as_plain_number: false,
            encode_ignore_null_fields: false,
        }
    }
}

impl JsonOptions {
    /// From a table's options whose keys start with `prefix`, for instance `json.`. Values were checked
    /// with the table; one that is none is as good as none.
    pub(super) fn from_options(options: &BTreeMap<String, String>, prefix: &str) -> Self {
        let get = |key: &str| options.get(&format!("{prefix}{key}")).map(String::as_str);
        let flag = |key: &str| get(key).is_some_and(|text| value::boolean(text) == Ok(true));
        let literal = || get("map-null-key.literal").unwrap_or("null").to_owned();
        Self {
            fail_on_missing_field: flag("fail-on-missing-field"),
            ignore_parse_errors: flag("ignore-parse-errors"),
            timestamp_format: match get("timestamp-format.standard") {
                Some("ISO-8601") => TimestampFormat::Iso8601,
                _ => TimestampFormat::Sql,
            },
            map_null_key: match get("map-null-key.mode") {
                Some("DROP") => MapNullKey::Drop,
                Some("LITERAL") => MapNullKey::Literal(literal()),
                _ => MapNullKey::Fail,
            },
            encode_decimal_as_plain_number: flag("encode.decimal-as-plain-number"),
            encode_ignore_null_fields: flag("encode.ignore-null-fields"),
        }
    }
}
