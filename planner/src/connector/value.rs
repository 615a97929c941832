//! The values of options as Flink writes them: `true`, `10 s`, `partition:0,offset:42`. Every reader says
//! what it expected. Not here: which option has which kind of value (`kafka.rs` and the others).

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("'true' or 'false'".to_owned()),
    }
}

pub(super) fn integer(text: &str, least: i64, most: i64) -> Result<i64, String> {
    match text.trim().parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ if most == i64::MAX => Err(format!("a whole number of at least {least}")),
        _ => Err(format!("a whole number from {least} to {most}")),
    }
}

/// A number and a unit of Flink, `10 s` or `5min`; without a unit milliseconds are meant.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const NANOS: u64 = 1;
    const MICROS: u64 = 1_000 * NANOS;
    const MILLIS: u64 = 1_000 * MICROS;
    const SECONDS: u64 = 1_000 * MILLIS;
    let expected = || "a duration such as '10 s', '500 ms' or '5 min'".to_owned();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => MILLIS,
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => NANOS,
        "µs" | "micro" | "micros" | "microsecond" | "microseconds" => MICROS,
        "s" | "sec" | "secs" | "second" | "seconds" => SECONDS,
        "m" | "min" | "minute" | "minutes" => 60 * SECONDS,
        "h" | "hour" | "hours" => 3_600 * SECONDS,
        "d" | "day" | "days" => 86_400 * SECONDS,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).map(Duration::from_nanos).ok_or_else(expected)
}

/// `partition:0,offset:42;partition:1,offset:300`.
pub(super) fn offsets(text: &str) -> Result<BTreeMap<i32, i64>, String> {
    let expected = || "offsets such as 'partition:0,offset:42;partition:1,offset:300'".to_owned();
    let mut offsets = BTreeMap::new();
    for pair in text.split(';') {
        let (partition, offset) = pair.split_once(',').ok_or_else(expected)?;
        let partition = partition.trim().strip_prefix("partition:").ok_or_else(expected)?;
        let offset = offset.trim().strip_prefix("offset:").ok_or_else(expected)?;
        let partition: i32 = partition.trim().parse().map_err(|_| expected())?;
        let offset: i64 = offset.trim().parse().map_err(|_| expected())?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return Err(expected());
        }
    }
    Ok(offsets)
}

/// `a;b;c` without empty parts.
pub(super) fn list(text: &str) -> Result<Vec<String>, String> {
    let parts: Vec<String> = text.split(';').map(|part| part.trim().to_owned()).collect();
    if parts.iter().any(String::is_empty) {
        return Err("names with ';' between them".to_owned());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_flinks_units() {
        for (text, millis) in
            [("10 s", 10_000), ("0", 0), ("250", 250), ("5min", 300_000), ("1 d", 86_400_000), ("2 Hours", 7_200_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1 s", "10 parsecs", "99999999999999999999 s", "9999999999999 d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_name_each_partition_once() {
        assert_eq!(offsets("partition:0,offset:42;partition:1,offset:300"), Ok(BTreeMap::from([(0, 42), (1, 300)])));
        for text in ["", "partition:0", "partition:0,offset:-1", "partition:0,offset:1;partition:0,offset:2", "0:1"] {
            assert!(offsets(text).is_err(), "{text}");
        }
    }
}
