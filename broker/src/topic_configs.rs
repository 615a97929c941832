//! The topic configurations that this broker knows: their names, types, defaults and checks, and the
//! few that it acts on.
//!
//! Others are accepted, kept and described, as tools set them as a matter of course; what has no
//! effect here is named in `docs/embedded-broker.md`.

use std::collections::BTreeMap;

/// A configuration's type, by its number in `DescribeConfigs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigType {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One known configuration.
pub(crate) struct TopicConfigKey {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigType,
    default: &'static str,
    /// The values a string or list may have; numbers have a minimum instead.
    choices: &'static [&'static str],
    minimum: i64,
}

const fn number(name: &'static str, kind: ConfigType, default: &'static str, minimum: i64) -> TopicConfigKey {
    TopicConfigKey { name, kind, default, choices: &[], minimum }
}

const fn choice(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    choices: &'static [&'static str],
) -> TopicConfigKey {
    TopicConfigKey { name, kind, default, choices, minimum: 0 }
}

const LONG_MAX: &str = "9223372036854775807";
const BOOLEANS: &[&str] = &["true", "false"];

/// Every known configuration, by name.
pub(crate) const KEYS: &[TopicConfigKey] = &[
    choice("cleanup.policy", ConfigType::List, "delete", &["delete", "compact"]),
    choice(
        "compression.type",
        ConfigType::String,
        "producer",
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
    ),
    number("delete.retention.ms", ConfigType::Long, "86400000", 0),
    number("file.delete.delay.ms", ConfigType::Long, "60000", 0),
    number("flush.messages", ConfigType::Long, LONG_MAX, 1),
    number("flush.ms", ConfigType::Long, LONG_MAX, 0),
    number("index.interval.bytes", ConfigType::Int, "4096", 0),
    number("max.compaction.lag.ms", ConfigType::Long, LONG_MAX, 1),
    number("max.message.bytes", ConfigType::Int, "1048588", 0),
    number("message.timestamp.after.max.ms", ConfigType::Long, LONG_MAX, 0),
    number("message.timestamp.before.max.ms", ConfigType::Long, LONG_MAX, 0),
    choice("message.timestamp.type", ConfigType::String, "CreateTime", &["CreateTime"]),
    number("min.cleanable.dirty.ratio", ConfigType::Double, "0.5", 0),
    number("min.compaction.lag.ms", ConfigType::Long, "0", 0),
    number("min.insync.replicas", ConfigType::Int, "1", 1),
    choice("preallocate", ConfigType::Boolean, "false", BOOLEANS),
    number("retention.bytes", ConfigType::Long, "-1", -1),
    number("retention.ms", ConfigType::Long, "604800000", -1),
    number("segment.bytes", ConfigType::Int, "268435456", 14),
    number("segment.index.bytes", ConfigType::Int, "10485760", 4),
    number("segment.jitter.ms", ConfigType::Long, "0", 0),
    number("segment.ms", ConfigType::Long, "604800000", 1),
    choice("unclean.leader.election.enable", ConfigType::Boolean, "false", BOOLEANS),
];

pub(crate) fn key(name: &str) -> Option<&'static TopicConfigKey> {
    KEYS.iter().find(|key| key.name == name)
}

impl TopicConfigKey {
    /// What is wrong with `value`, if anything is.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        let acceptable = match self.kind {
            ConfigType::Boolean | ConfigType::String => self.choices.contains(&value),
            ConfigType::List => value.split(',').all(|item| self.choices.contains(&item.trim())),
            ConfigType::Int => value.parse::<i32>().is_ok_and(|n| i64::from(n) >= self.minimum),
            ConfigType::Long => value.parse::<i64>().is_ok_and(|n| n >= self.minimum),
            ConfigType::Double => value.parse::<f64>().is_ok_and(|n| n >= self.minimum as f64),
        };
        if acceptable {
            return Ok(());
        }
        Err(match self.choices {
            [] => format!(
                "Invalid value {value} for configuration {}: expected a number of at least {}",
                self.name, self.minimum
            ),
            choices => {
                format!("Invalid value {value} for configuration {}: expected {}", self.name, choices.join(" or "))
            }
        })
    }
}

/// Checks what a client wants to set.
pub(crate) fn check(configs: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in configs {
        key(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?.check(value)?;
    }
    Ok(())
}

/// The broker's defaults for topics, by configuration name, where they differ from Kafka's.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicDefaults(BTreeMap<&'static str, String>);

impl TopicDefaults {
    pub(crate) fn set(&mut self, name: &'static str, value: impl ToString) {
        self.0.insert(name, value.to_string());
    }

    pub(crate) fn get(&self, key: &TopicConfigKey) -> String {
        self.0.get(key.name).cloned().unwrap_or_else(|| key.default.to_owned())
    }
}

/// A topic's configurations, as set, with the ones that the broker acts on parsed.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfigs {
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) max_message_bytes: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_bytes: Option<u64>,
    /// Whether `cleanup.policy` contains `delete`: only then may records go.
    pub(crate) deletes: bool,
}

impl TopicConfigs {
    /// Of values that [`check`] has passed; what does not parse after all counts as not set.
    pub(crate) fn new(set: BTreeMap<String, String>, defaults: &TopicDefaults) -> Self {
        let value = |name: &str| {
            let default = || key(name).map(|key| defaults.get(key)).unwrap_or_default();
            set.get(name).cloned().unwrap_or_else(default)
        };
        let number = |name: &str| value(name).parse::<i64>().unwrap_or(-1);
        TopicConfigs {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(usize::MAX),
            segment_bytes: u64::try_from(number("segment.bytes")).unwrap_or(u64::MAX),
            retention_ms: Some(number("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            deletes: value("cleanup.policy").split(',').any(|policy| policy.trim() == "delete"),
            set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for key in KEYS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn unknown_names_and_impossible_values_are_refused() {
        assert!(check(&configs(&[("retention.hours", "1")])).is_err());
        assert!(check(&configs(&[("retention.ms", "soon")])).is_err());
        assert!(check(&configs(&[("cleanup.policy", "compact,shred")])).is_err());
        assert!(check(&configs(&[("cleanup.policy", "compact,delete")])).is_ok());
    }

    #[test]
    fn only_a_policy_with_delete_lets_records_go() {
        let of = |policy| TopicConfigs::new(configs(&[("cleanup.policy", policy)]), &TopicDefaults::default());
        assert!(of("delete").deletes && of("compact,delete").deletes);
        assert!(!of("compact").deletes);
    }
}
