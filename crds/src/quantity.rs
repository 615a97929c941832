//! Durations ("500ms", "1h30m", "7d") and sizes ("10Gi") as manifests write them: text with a unit, never a
//! bare number. Typed here, with the pattern that says the same in the schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Pattern of every duration in the schema, and what a reader of the schema knows a duration by.
pub const DURATION_PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
/// The same for durations that CEL's `duration()` has to read, which knows no days.
pub const SHORT_DURATION_PATTERN: &str = "^([0-9]+s)?([0-9]+ms)?$";
/// Pattern of every size in the schema.
pub const SIZE_PATTERN: &str = "^[0-9]+(k|M|G|T|Ki|Mi|Gi|Ti)?$";

/// A span of time to the millisecond. Written as whole numbers with units from days to milliseconds, the
/// largest first: `1h30m`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

/// A number of bytes. Written like a Kubernetes quantity: `10Gi`, `64Mi`, `500M`, `1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Why a text is not a quantity; displays as what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error(
        "\"{0}\" is not a duration: write whole numbers with units, the largest first, such as 500ms, 10s, 1h30m or 7d"
    )]
    Duration(String),
    #[error("\"{0}\" is not a size: write a whole number with a unit, such as 64Mi, 10Gi or 500M")]
    Size(String),
    #[error("\"{0}\" is too large")]
    TooLarge(String),
}

/// Units of a duration in milliseconds, the largest first.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl Duration {
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Duration(text.to_owned());
        let large = || QuantityError::TooLarge(text.to_owned());
        let mut rest = text;
        let mut millis = 0u64;
        // Each unit may stand once, after the larger ones only.
        let mut units = DURATION_UNITS.iter();
        while !rest.is_empty() {
            let (digits, after) = split_digits(rest).ok_or_else(wrong)?;
            let unit_length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_length);
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(large)?;
            millis = millis.checked_add(part).ok_or_else(large)?;
            rest = after;
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self::from_millis(millis)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in DURATION_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl ByteSize {
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Size(text.to_owned());
        let (digits, unit) = split_digits(text).ok_or_else(wrong)?;
        let factor = match unit {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZE_UNITS[..4].iter().rev();
        match binary.into_iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The leading digits and what follows; None where there is no digit.
fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

macro_rules! text_in_manifests {
    ($type:ident, $pattern:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "minLength": 1, "maxLength": 64})
            }
        }
    };
}

text_in_manifests!(Duration, DURATION_PATTERN);
text_in_manifests!(ByteSize, SIZE_PATTERN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units_and_written_back() {
        for (text, millis) in
            [("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("1s5ms", 1_005)]
        {
            let duration: Duration = text.parse().expect(text);
            assert_eq!(duration.get().as_millis(), millis, "{text}");
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("90s".parse::<Duration>().expect("90s").to_string(), "1m30s");
        assert_eq!("0s".parse::<Duration>().expect("0s").to_string(), "0s");
    }

    #[test]
    fn what_is_not_a_duration_says_what_to_write() {
        for text in ["", "10", "s", "10 s", "5s1m", "1m1m", "-1s", "1.5h", "10sec"] {
            let error = text.parse::<Duration>().expect_err(text).to_string();
            assert!(error.contains("500ms, 10s, 1h30m or 7d"), "{error}");
        }
        assert_eq!(
            "99999999999999999999d".parse::<Duration>(),
            Err(QuantityError::TooLarge("99999999999999999999d".into()))
        );
    }

    #[test]
    fn sizes_are_read_like_quantities_and_written_back() {
        for (text, bytes) in [("10Gi", 10 << 30), ("64Mi", 64 << 20), ("3Ki", 3072), ("1000", 1000), ("0", 0)] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("500M".parse::<ByteSize>().expect("500M").bytes(), 500_000_000);
        for text in ["", "Gi", "10GB", "1.5Gi", "10 Gi"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
