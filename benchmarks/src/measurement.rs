//! One run of one query on one engine, and the run that stands for several of them.

use serde::Serialize;

use crate::engine::{Cost, Engine};
use crate::output::Output;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) query: String,
    pub(crate) engine: Engine,
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) events_per_second: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_seconds_per_million_events: f64,
    /// Nothing where the broker is not the testbed's.
    pub(crate) broker_cpu_seconds: Option<f64>,
    pub(crate) peak_memory_bytes: u64,
    /// Of queries into Kafka.
    pub(crate) output: Option<Output>,
}

impl Measurement {
    pub(crate) fn new(query: &str, engine: Engine, events: u64, cost: Cost) -> Self {
        Self {
            query: query.to_owned(),
            engine,
            events,
            seconds: cost.seconds,
            events_per_second: events as f64 / cost.seconds,
            cpu_seconds: cost.cpu_seconds,
            cpu_seconds_per_million_events: cost.cpu_seconds * 1e6 / events as f64,
            broker_cpu_seconds: None,
            peak_memory_bytes: cost.peak_memory_bytes,
            output: None,
        }
    }
}

/// The run with the median CPU time: a whole run, so that its figures belong together. Of an even
/// number, the cheaper one of the two in the middle.
pub(crate) fn median<'a>(runs: &'a [Measurement], query: &str, engine: Engine) -> Option<&'a Measurement> {
    let mut of_query: Vec<_> = runs.iter().filter(|run| run.query == query && run.engine == engine).collect();
    of_query.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    let middle = of_query.len().checked_sub(1)? / 2;
    Some(of_query[middle])
}

/// Whether all runs of a query wrote the same rows.
pub(crate) fn outputs_agree(runs: &[Measurement], query: &str) -> bool {
    let mut outputs = runs.iter().filter(|run| run.query == query).map(|run| run.output);
    let first = outputs.next();
    outputs.all(|output| Some(output) == first)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(query: &str, engine: Engine, cpu_seconds: f64) -> Measurement {
        let cost = Cost { seconds: 2.0, cpu_seconds, peak_memory_bytes: 1 << 20 };
        Measurement::new(query, engine, 1_000_000, cost)
    }

    #[test]
    fn the_median_is_a_run_of_that_query_and_engine() {
        let runs = [
            run("q0", Engine::Millrace, 3.0),
            run("q0", Engine::Millrace, 1.0),
            run("q0", Engine::Flink, 9.0),
            run("q0", Engine::Millrace, 2.0),
            run("q1", Engine::Millrace, 8.0),
        ];
        let cpu = |query, engine| median(&runs, query, engine).map(|run| run.cpu_seconds);
        assert_eq!(cpu("q0", Engine::Millrace), Some(2.0));
        assert_eq!(cpu("q0", Engine::Flink), Some(9.0));
        assert_eq!(cpu("q1", Engine::Flink), None);
    }

    #[test]
    fn outputs_agree_only_if_all_are_the_same() {
        let mut runs = vec![run("q0-kafka", Engine::Millrace, 1.0), run("q0-kafka", Engine::Flink, 1.0)];
        assert!(outputs_agree(&runs, "q0-kafka"));
        runs[0].output = Some(Output { rows: 1, digest: 1 });
        assert!(!outputs_agree(&runs, "q0-kafka"));
        runs[1].output = Some(Output { rows: 1, digest: 1 });
        assert!(outputs_agree(&runs, "q0-kafka"));
    }
}
