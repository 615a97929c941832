//! `properties.*` of a Kafka table: names as in Java's client, which most scripts were written for, to
//! those of librdkafka. Only what is known to be safe under exactly once passes. Not here: the options
//! of the connector itself (`kafka.rs`).

use super::nearest::nearest;
use std::collections::BTreeMap;

/// What Millrace makes of a property of Java's client.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// librdkafka knows it by the same name.
    Same,
    Renamed(&'static str),
    /// In bytes; librdkafka counts KiB.
    Kibibytes(&'static str),
    /// `sasl.jaas.config`, of which user name and password are taken.
    Jaas,
    /// Read by the connector: not passed on.
    Own,
    /// Accepted without effect, and why.
    Ignored(&'static str),
    /// Refused, and what to do instead.
    Refused(&'static str),
}

use Effect::{Ignored, Jaas, Kibibytes, Own, Refused, Renamed, Same};

const OURS: &str = "Millrace assigns partitions and commits offsets itself";
const EXACTLY_ONCE: &str = "Millrace sets it for exactly once";
const JAVA: &str = "it concerns Java only";
const PEM: &str =
    "give PEM files: properties.ssl.ca.location, properties.ssl.certificate.location, properties.ssl.key.location";

#[rustfmt::skip]
const PROPERTIES: &[(&str, Effect)] = &[
    ("bootstrap.servers", Own), ("group.id", Own), ("auto.offset.reset", Own),
    // Connections.
    ("broker.address.family", Same), ("client.dns.lookup", Same), ("client.id", Same), ("client.rack", Same),
    ("connections.max.idle.ms", Same), ("metadata.max.age.ms", Same), ("reconnect.backoff.max.ms", Same),
    ("reconnect.backoff.ms", Same), ("retry.backoff.max.ms", Same), ("retry.backoff.ms", Same),
    ("socket.connection.setup.timeout.ms", Same), ("socket.keepalive.enable", Same),
    ("socket.nagle.disable", Same), ("socket.timeout.ms", Same),
    ("receive.buffer.bytes", Renamed("socket.receive.buffer.bytes")),
    ("send.buffer.bytes", Renamed("socket.send.buffer.bytes")),
    // Security.
    ("sasl.jaas.config", Jaas), ("sasl.kerberos.keytab", Same), ("sasl.kerberos.principal", Same),
    ("sasl.kerberos.service.name", Same), ("sasl.mechanism", Same), ("sasl.oauthbearer.client.id", Same),
    ("sasl.oauthbearer.client.secret", Same), ("sasl.oauthbearer.extensions", Same),
    ("sasl.oauthbearer.method", Same), ("sasl.oauthbearer.scope", Same),
    ("sasl.oauthbearer.token.endpoint.url", Same), ("sasl.password", Same), ("sasl.username", Same),
    ("security.protocol", Same), ("ssl.ca.location", Same), ("ssl.ca.pem", Same),
    ("ssl.certificate.location", Same), ("ssl.certificate.pem", Same), ("ssl.cipher.suites", Same),
    ("ssl.endpoint.identification.algorithm", Same), ("ssl.key.location", Same), ("ssl.key.password", Same),
    ("ssl.key.pem", Same), ("ssl.keystore.certificate.chain", Renamed("ssl.certificate.pem")),
    ("ssl.keystore.key", Renamed("ssl.key.pem")), ("ssl.keystore.location", Refused(PEM)),
    ("ssl.keystore.password", Refused(PEM)), ("ssl.keystore.type", Ignored("keys are PEM")),
    ("ssl.truststore.certificates", Renamed("ssl.ca.pem")), ("ssl.truststore.location", Refused(PEM)),
    ("ssl.truststore.password", Refused(PEM)), ("ssl.truststore.type", Ignored("certificates are PEM")),
    ("ssl.enabled.protocols", Ignored(JAVA)), ("ssl.keymanager.algorithm", Ignored(JAVA)),
    ("ssl.protocol", Ignored(JAVA)), ("ssl.provider", Ignored(JAVA)),
    ("ssl.secure.random.implementation", Ignored(JAVA)), ("ssl.trustmanager.algorithm", Ignored(JAVA)),
    ("sasl.client.callback.handler.class", Refused("use properties.sasl.oauthbearer.method = 'oidc'")),
    ("sasl.login.callback.handler.class", Refused("use properties.sasl.oauthbearer.method = 'oidc'")),
    ("sasl.login.class", Refused("use properties.sasl.username and properties.sasl.password")),
    ("security.providers", Ignored(JAVA)),
    // Consumers.
    ("allow.auto.create.topics", Same), ("check.crcs", Same), ("fetch.max.bytes", Same),
    ("fetch.max.wait.ms", Renamed("fetch.wait.max.ms")), ("fetch.min.bytes", Same),
    ("isolation.level", Same), ("max.partition.fetch.bytes", Same),
    ("auto.commit.interval.ms", Ignored(OURS)), ("enable.auto.commit", Ignored(OURS)),
    ("default.api.timeout.ms", Ignored(JAVA)), ("exclude.internal.topics", Ignored(JAVA)),
    ("group.instance.id", Ignored(OURS)), ("heartbeat.interval.ms", Ignored(OURS)),
    ("max.poll.interval.ms", Ignored(OURS)), ("max.poll.records", Ignored(JAVA)),
    ("partition.assignment.strategy", Ignored(OURS)), ("session.timeout.ms", Ignored(OURS)),
    ("partition.discovery.interval.ms", Ignored("use scan.topic-partition-discovery.interval")),
    ("commit.offsets.on.checkpoint", Ignored(OURS)),
    // Producers.
    ("batch.size", Same), ("buffer.memory", Kibibytes("queue.buffering.max.kbytes")), ("compression.type", Same),
    ("delivery.timeout.ms", Same), ("linger.ms", Same), ("max.request.size", Renamed("message.max.bytes")),
    ("request.timeout.ms", Same), ("acks", Ignored(EXACTLY_ONCE)), ("enable.idempotence", Ignored(EXACTLY_ONCE)),
    ("max.block.ms", Ignored(JAVA)), ("max.in.flight.requests.per.connection", Ignored(EXACTLY_ONCE)),
    ("metadata.max.idle.ms", Ignored(JAVA)), ("partitioner.class", Ignored("use sink.partitioner")),
    ("retries", Ignored(EXACTLY_ONCE)), ("transaction.timeout.ms", Ignored(EXACTLY_ONCE)),
    ("transactional.id", Ignored("Millrace names its transactions itself")),
    // Plug-ins of Java.
    ("interceptor.classes", Ignored(JAVA)), ("key.deserializer", Ignored(JAVA)), ("key.serializer", Ignored(JAVA)),
    ("metric.reporters", Ignored(JAVA)), ("metrics.num.samples", Ignored(JAVA)),
    ("metrics.recording.level", Ignored(JAVA)), ("metrics.sample.window.ms", Ignored(JAVA)),
    ("value.deserializer", Ignored(JAVA)), ("value.serializer", Ignored(JAVA)),
];

/// What is to be said about a property when its table is declared.
pub(super) enum Verdict {
    Accepted,
    Ignored(String),
    /// The message, and what to do.
    Refused(String, String),
}

/// Judges a property by its name, without the prefix `properties.`, and its value.
pub(super) fn judge(name: &str, value: &str) -> Verdict {
    let Some((_, effect)) = PROPERTIES.iter().find(|(known, _)| *known == name) else {
        let names = PROPERTIES.iter().filter(|(_, effect)| !matches!(effect, Ignored(_) | Refused(_)));
        let hint = match nearest(name, PROPERTIES.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean 'properties.{near}'?"),
            None => format!("accepted are {}", names.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
        };
        return Verdict::Refused(format!("the client property '{name}' is not accepted"), hint);
    };
    match effect {
        Ignored(reason) => Verdict::Ignored(format!("'properties.{name}' has no effect: {reason}")),
        Refused(instead) => {
            Verdict::Refused(format!("the client property '{name}' is not supported"), (*instead).to_owned())
        }
        Jaas if jaas(value).is_none() => Verdict::Refused(
            "only username and password of 'properties.sasl.jaas.config' can be read".to_owned(),
            "give properties.sasl.username and properties.sasl.password".to_owned(),
        ),
        Kibibytes(_) if value.trim().parse::<u64>().is_err() => Verdict::Refused(
            format!("'properties.{name}' must be a number of bytes"),
            "for instance 33554432".to_owned(),
        ),
        _ => Verdict::Accepted,
    }
}

/// The accepted properties among a table's options, by librdkafka's names.
pub(super) fn translate(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut translated = BTreeMap::new();
    for (key, value) in options {
        let Some(name) = key.strip_prefix("properties.") else { continue };
        match PROPERTIES.iter().find(|(known, _)| *known == name).map(|(_, effect)| effect) {
            Some(Same) => {
                translated.insert(name.to_owned(), value.clone());
            }
            Some(Renamed(other)) => {
                translated.insert((*other).to_owned(), value.clone());
            }
            Some(Kibibytes(other)) => {
                let kibibytes = value.trim().parse::<u64>().unwrap_or_default().div_ceil(1024).max(1);
                translated.insert((*other).to_owned(), kibibytes.to_string());
            }
            Some(Jaas) => {
                if let Some((username, password)) = jaas(value) {
                    translated.entry("sasl.username".to_owned()).or_insert(username);
                    translated.entry("sasl.password".to_owned()).or_insert(password);
                }
            }
            Some(Own | Ignored(_) | Refused(_)) | None => {}
        }
    }
    translated
}

/// User name and password of `…LoginModule required username="…" password="…";`.
fn jaas(config: &str) -> Option<(String, String)> {
    let value = |name: &str| {
        let (_, rest) = config.split_once(&format!("{name}="))?;
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, _) = rest[1..].split_once(quote)?;
        Some(value.to_owned())
    };
    Some((value("username")?, value("password")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_names_become_librdkafkas() {
        let options = [
            ("properties.bootstrap.servers", "b:1"),
            ("properties.fetch.max.wait.ms", "10"),
            ("properties.buffer.memory", "33554432"),
            ("properties.acks", "1"),
            (
                "properties.sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p=\";",
            ),
            ("topic", "t"),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let expected = [
            ("fetch.wait.max.ms", "10"),
            ("queue.buffering.max.kbytes", "32768"),
            ("sasl.username", "u"),
            ("sasl.password", "p="),
        ];
        assert_eq!(translate(&options), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn an_unknown_property_is_refused_with_the_nearest_known_one() {
        assert!(matches!(judge("fetch.min.byte", "1"), Verdict::Refused(_, hint) if hint.contains("fetch.min.bytes")));
        assert!(matches!(judge("plugin.library.paths", "/tmp/x.so"), Verdict::Refused(..)));
        assert!(matches!(judge("max.poll.records", "1"), Verdict::Ignored(_)));
    }
}
