//! The queries: files of Flink SQL in `queries/`, with a few placeholders for what differs from run
//! to run. Both engines get the same statements; Flink's SETs stand in a file of their own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// All queries, in the order in which they run.
pub(crate) const ALL: [&str; 8] = ["q0", "q1", "q2", "q12", "tumble", "hop", "q0-kafka", "hop-kafka"];

pub(crate) struct Parameters<'a> {
    pub(crate) bootstrap_servers: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) output_topic: &'a str,
    /// The job's name in Flink.
    pub(crate) job: &'a str,
}

/// Whether the query writes to Kafka and so needs an output topic.
pub(crate) fn writes_to_kafka(query: &str) -> bool {
    query.ends_with("-kafka")
}

pub(crate) fn known(query: &str) -> Result<String> {
    ensure!(ALL.contains(&query), "there is no query {query:?}; there are {}", ALL.join(", "));
    Ok(query.to_owned())
}

/// The statements for Millrace.
pub(crate) fn millrace(query: &str, parameters: &Parameters<'_>) -> Result<String> {
    Ok([read("tables", parameters)?, read(query, parameters)?].join("\n"))
}

/// A file of statements that brings its own tables.
pub(crate) fn millrace_alone(file: &str, parameters: &Parameters<'_>) -> Result<String> {
    read(file, parameters)
}

/// The statements for Flink. A warm-up reads only so many events of each partition.
pub(crate) fn flink(query: &str, parameters: &Parameters<'_>, warm_up: Option<&[u64]>) -> Result<String> {
    let limit = warm_up.map_or(String::new(), |offsets| {
        let offsets: Vec<_> = offsets
            .iter()
            .enumerate()
            .map(|(partition, offset)| format!("partition:{partition},offset:{offset}"))
            .collect();
        format!(
            "ALTER TABLE nexmark SET ('scan.bounded.mode' = 'specific-offsets', \
             'scan.bounded.specific-offsets' = '{}');\n",
            offsets.join(";")
        )
    });
    let (settings, tables) = (read("flink", parameters)?, read("tables", parameters)?);
    Ok([settings, tables, limit, read(query, parameters)?].join("\n"))
}

/// Flink's SETs, for the record.
pub(crate) fn flink_settings() -> Result<String> {
    let lines = fs::read_to_string(path("flink")).context("reading Flink's settings")?;
    Ok(lines.lines().filter(|line| line.starts_with("SET ")).collect::<Vec<_>>().join("\n"))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/queries")).join(format!("{name}.sql"))
}

fn read(name: &str, parameters: &Parameters<'_>) -> Result<String> {
    let path = path(name);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text
        .replace("${BOOTSTRAP_SERVERS}", parameters.bootstrap_servers)
        .replace("${TOPIC}", parameters.topic)
        .replace("${OUTPUT_TOPIC}", parameters.output_topic)
        .replace("${JOB}", parameters.job))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: Parameters<'static> =
        Parameters { bootstrap_servers: "127.0.0.1:1", topic: "events", output_topic: "output-topic", job: "job" };

    #[test]
    fn every_query_has_a_file_without_placeholders_left() {
        for query in ALL {
            for sql in [
                millrace(query, &PARAMETERS).expect("a file"),
                flink(query, &PARAMETERS, Some(&[7, 8])).expect("a file"),
            ] {
                assert!(!sql.contains("${"), "{query}: {sql}");
                assert!(sql.contains("INSERT INTO output"));
            }
        }
    }

    #[test]
    fn only_queries_into_kafka_name_an_output_topic() {
        for query in ALL {
            let sql = millrace(query, &PARAMETERS).expect("a file");
            assert_eq!(sql.contains("output-topic"), writes_to_kafka(query), "{query}");
        }
    }

    #[test]
    fn a_warm_up_ends_at_the_offsets_given() {
        let sql = flink("q0", &PARAMETERS, Some(&[7, 8])).expect("a file");
        assert!(sql.contains("'partition:0,offset:7;partition:1,offset:8'"));
    }
}
