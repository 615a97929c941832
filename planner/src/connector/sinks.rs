//! The options of the `print` and `blackhole` connectors, which only take rows.

use super::option::{OptionDescription, ValueKind};

const ONE_PARALLELISM: &str = "a job has one parallelism, spec.parallelism";

pub(super) const PRINT: &[OptionDescription] = &[
    OptionDescription::sink("print-identifier", ValueKind::Text),
    OptionDescription::sink("standard-error", ValueKind::Boolean).default("false"),
    OptionDescription::sink("sink.parallelism", ValueKind::Integer(1, 1024)).ignored(ONE_PARALLELISM),
];

pub(super) const BLACKHOLE: &[OptionDescription] =
    &[OptionDescription::sink("sink.parallelism", ValueKind::Integer(1, 1024)).ignored(ONE_PARALLELISM)];
