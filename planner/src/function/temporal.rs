//! Functions of dates, times, timestamps and intervals. A TIMESTAMP_LTZ is read in the session's time zone.

use super::{Default, FunctionDefinition as F, Nulls, Parameter as P, ResultType as R};

/// What a [`P::Unit`] argument can be; each function names those it takes.
pub const UNITS: &[&str] = &[
    "MILLENNIUM",
    "CENTURY",
    "DECADE",
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "DOW",
    "DOY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
    "EPOCH",
];

const PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

pub static FUNCTIONS: &[F] = &[
    F::new(
        "DATETIME_PLUS",
        &[P::Temporal, P::Interval],
        R::Argument(0),
        "The time later by the interval (`+`, TIMESTAMPADD). Months keep the day of the month, or take the \
         month's last. DATE moves by whole days, TIME wraps at midnight.",
    ),
    F::new("DATETIME_MINUS", &[P::Temporal, P::Interval], R::Argument(0), "The time earlier by the interval."),
    F::new(
        "TIMESTAMPDIFF",
        &[P::Unit, P::Temporal, P::Temporal],
        R::Int,
        "TIMESTAMPDIFF(unit, from, to): whole units from one to the other, truncated towards zero. SECOND, \
         MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR. Both have one kind of type, DATE or TIMESTAMP(p) or \
         TIMESTAMP_LTZ(p). Whole months count days and time of day.",
    ),
    F::new(
        "EXTRACT",
        &[P::Unit, P::Any],
        R::BigInt,
        "EXTRACT(unit FROM time) (also: YEAR(time) …): of DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ or an \
         interval. WEEK is ISO's; DOW is 1 on Sunday; SECOND without its fraction; MILLISECOND and MICROSECOND \
         are the seconds and their fraction in that unit; EPOCH is in seconds.",
    ),
    F::new(
        "FLOOR_TO",
        &[P::Temporal, P::Unit],
        R::Argument(0),
        "FLOOR(time TO unit): MILLENNIUM to MILLISECOND but DOW, DOY and EPOCH; a WEEK starts on Sunday.",
    ),
    F::new("CEIL_TO", &[P::Temporal, P::Unit], R::Argument(0), "CEIL(time TO unit), like FLOOR_TO."),
    F::new(
        "DATE_FORMAT",
        &[P::Timestamp, P::String],
        R::String,
        "By a pattern of Java's DateTimeFormatter. An invalid pattern fails the row.",
    )
    .called(&["DATE_FORMAT"]),
    F::new(
        "TO_TIMESTAMP",
        &[P::String, P::String],
        R::Timestamp,
        "Read by a pattern of Java's DateTimeFormatter; without one as `yyyy-MM-dd[ HH:mm:ss[.fraction]]`, \
         where `T` may stand for the blank. NULL where it can't be read.",
    )
    .called(&["TO_TIMESTAMP"])
    .required(1)
    .nulls(Nulls::StrictNullable),
    F::new(
        "TO_TIMESTAMP_LTZ",
        &[P::BigInt, P::Int],
        R::TimestampLtz,
        "From the seconds (precision 0) or milliseconds (precision 3) since the epoch; by default \
         milliseconds. NULL with another precision.",
    )
    .called(&["TO_TIMESTAMP_LTZ"])
    .defaults(&[Default::Int(3)])
    .nulls(Nulls::StrictNullable),
    F::new(
        "TO_DATE",
        &[P::String, P::String],
        R::Date,
        "Read by a pattern of Java's DateTimeFormatter, by default yyyy-MM-dd. NULL where it can't be read.",
    )
    .called(&["TO_DATE"])
    .defaults(&[Default::String("yyyy-MM-dd")])
    .nulls(Nulls::StrictNullable),
    F::new(
        "FROM_UNIXTIME",
        &[P::BigInt, P::String],
        R::String,
        "The seconds since the epoch by a pattern, in the session's time zone.",
    )
    .called(&["FROM_UNIXTIME"])
    .defaults(&[Default::String(PATTERN)]),
    F::new(
        "UNIX_TIMESTAMP",
        &[P::String, P::String],
        R::BigInt,
        "The seconds since the epoch: of now without an argument, else of the string read by a pattern in \
         the session's time zone; -9223372036854775808 where it can't be read.",
    )
    .called(&["UNIX_TIMESTAMP"])
    .defaults(&[Default::String(PATTERN)])
    .required(0),
    F::new(
        "CONVERT_TZ",
        &[P::String, P::String, P::String],
        R::String,
        "CONVERT_TZ('yyyy-MM-dd HH:mm:ss', from zone, to zone), in the same form. NULL where it can't be read.",
    )
    .called(&["CONVERT_TZ"])
    .nulls(Nulls::StrictNullable),
    F::new("CURRENT_TIMESTAMP", &[], R::TimestampLtz, "Now, once for each batch (also: NOW()).")
        .called(&["NOW", "CURRENT_ROW_TIMESTAMP"])
        .nulls(Nulls::Never),
    F::new("LOCALTIMESTAMP", &[], R::Timestamp, "Now in the session's time zone, once for each batch.")
        .nulls(Nulls::Never),
    F::new("CURRENT_DATE", &[], R::Date, "Today in the session's time zone, once for each batch.").nulls(Nulls::Never),
    F::new("LOCALTIME", &[], R::Time, "The time of day in the session's time zone (also: CURRENT_TIME).")
        .nulls(Nulls::Never),
    F::new("PROCTIME", &[], R::TimestampLtz, "Now, when the row is processed; once for each batch.")
        .called(&["PROCTIME"])
        .nulls(Nulls::Never),
];
