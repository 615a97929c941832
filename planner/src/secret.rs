//! Options that may hold secrets: which they are, and keeping them out of whatever is written of a plan. Not here:
//! reading the secrets that a plan refers to, which needs files.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What stands in the place of a secret, as in Flink.
pub const MASK: &str = "******";

/// How a reference to a key of a Secret begins: `${secret:NAME:KEY}`, the form of Kafka's configuration providers.
const REFERENCE: &str = "${secret:";

/// Options by name. Printed and serialised without secrets, but with references to them.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// What may be written.
    pub fn masked(&self) -> Self {
        let shown = |(name, value): (&String, &String)| (name.clone(), shown(name, value).to_owned());
        self.iter().map(shown).collect()
    }

    /// Names of the options that hold a secret itself, not a reference to one.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(name, value)| shown(name, value) != value.as_str()).map(|(name, _)| name.as_str())
    }

    /// The keys of Secrets that the options refer to: name and key.
    pub fn references(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values().flat_map(|value| {
            let mut rest = value.as_str();
            std::iter::from_fn(move || {
                let (_, name, key, after) = next_reference(rest)?;
                rest = after;
                Some((name, key))
            })
        })
    }

    /// Puts what `read` knows of a Secret, by its name and a key of it, in the place of every reference.
    pub fn resolve<E>(&mut self, mut read: impl FnMut(&str, &str) -> Result<String, E>) -> Result<(), E> {
        for value in self.values_mut() {
            let mut resolved = String::with_capacity(value.len());
            let mut rest = value.as_str();
            while let Some((before, name, key, after)) = next_reference(rest) {
                resolved.push_str(before);
                resolved.push_str(&read(name, key)?);
                rest = after;
            }
            resolved.push_str(rest);
            *value = resolved;
        }
        Ok(())
    }
}

/// The first reference in a text: what is before it, the Secret's name and key, what is after it.
fn next_reference(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once(REFERENCE)?;
    let (reference, after) = rest.split_once('}')?;
    let (name, key) = reference.split_once(':')?;
    Some((before, name, key, after))
}

/// Whether an option holds a secret, by its name in Flink's SQL or in Kafka's clients.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "jaas.config", "key.pem", "keystore.key"].iter().any(|part| name.ends_with(part))
}

fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) && next_reference(value).is_none() { MASK } else { value }
}

/// A line of SQL with a star for each letter of a secret, so that it is as long as before.
pub fn masked_line(line: &str) -> String {
    let mut parts: Vec<String> = line.split('\'').map(str::to_owned).collect();
    for at in 2..parts.len().saturating_sub(1) {
        let assigned = parts[at - 1].trim() == "=" && is_secret(&parts[at - 2]);
        if assigned && next_reference(&parts[at]).is_none() {
            parts[at] = "*".repeat(parts[at].chars().count());
        }
    }
    parts.join("'")
}

impl Deref for Options {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Options {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<BTreeMap<String, String>> for Options {
    fn from(options: BTreeMap<String, String>) -> Self {
        Self(options)
    }
}

impl FromIterator<(String, String)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(options: I) -> Self {
        Self(options.into_iter().collect())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, shown(name, value))))
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(of: &[(&str, &str)]) -> Options {
        of.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    const SECRETS: [&str; 8] = [
        "properties.sasl.password",
        "properties.sasl.jaas.config",
        "properties.sasl.oauthbearer.client.secret",
        "properties.ssl.key.password",
        "properties.ssl.key.pem",
        "properties.ssl.keystore.key",
        "sasl.password",
        "ssl.key.pem",
    ];

    #[test]
    fn a_secret_is_neither_printed_nor_serialised() {
        for name in SECRETS {
            let options = options(&[(name, "hawkins"), ("properties.sasl.username", "jim"), ("topic", "t")]);
            let written = format!("{options:?}{}", serde_json::to_string(&options).expect("plain data"));
            assert!(!written.contains("hawkins") && written.contains("jim") && written.contains(MASK), "{written}");
            assert_eq!(options.secrets().collect::<Vec<_>>(), [name]);
            assert_eq!(options[name], "hawkins", "whoever needs it has it");
        }
    }

    #[test]
    fn options_that_only_sound_secret_are_written_as_they_are() {
        for name in ["properties.sasl.oauthbearer.token.endpoint.url", "key.format", "properties.ssl.key.location"] {
            let options = options(&[(name, "value")]);
            assert_eq!((options.secrets().count(), options.masked()), (0, options.clone()), "{name}");
        }
    }

    #[test]
    fn references_are_written_and_replaced_by_what_they_refer_to() {
        let jaas = "LoginModule required username=\"jim\" password=\"${secret:login:password}\";";
        let mut options = options(&[
            ("properties.sasl.password", "${secret:login:password}"),
            ("properties.sasl.username", "${secret:login:username}"),
            ("properties.sasl.jaas.config", jaas),
            ("topic", "${topic}"),
        ]);
        assert_eq!(options.secrets().count(), 0);
        let json = serde_json::to_string(&options).expect("plain data");
        assert_eq!(serde_json::from_str::<Options>(&json).expect("as written"), options);
        options.resolve(|name, key| Ok::<_, ()>(format!("<{key} of {name}>"))).expect("all are known");
        assert_eq!(options["properties.sasl.password"], "<password of login>");
        assert_eq!(options["properties.sasl.username"], "<username of login>");
        assert!(options["properties.sasl.jaas.config"].ends_with("password=\"<password of login>\";"));
        assert_eq!(options["topic"], "${topic}");
        assert!(!format!("{options:?}").contains("<password"), "{options:?}");
        let mut unknown = Options::from_iter([("x".to_owned(), "${secret:a:b}".to_owned())]);
        assert_eq!(unknown.resolve(|_, _| Err(())), Err(()));
    }

    #[test]
    fn a_line_of_sql_is_shown_without_its_secrets_and_as_long_as_before() {
        let line = "  'topic' = 't', 'properties.sasl.password' = 'häwkins', 'properties.sasl.usernam' = 'jim',";
        let masked = masked_line(line);
        assert_eq!(masked, line.replace("häwkins", "*******"));
        assert_eq!(masked.chars().count(), line.chars().count());
        for harmless in ["SELECT 'a' = 'b'", "it's", "", "'properties.sasl.password' = '${secret:a:b}'"] {
            assert_eq!(masked_line(harmless), harmless);
        }
    }
}
