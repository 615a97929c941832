//! What a person and a script get to see of the measurements: the table side by side, the reasons
//! where two figures are not set into a ratio, and the last line with the ratios.

use std::fmt::Write;

use serde::Serialize;

use crate::engine::Engine;
use crate::measurement::{Measurement, median, outputs_agree};
use crate::reference::{Reference, Verdict};

/// The results file.
#[derive(Serialize)]
pub(crate) struct Results<'a> {
    pub(crate) events: u64,
    pub(crate) partitions: u64,
    pub(crate) flink_configuration: &'a str,
    /// Flink's CPU time per event divided by Millrace's.
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) runs: &'a [Measurement],
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) query: String,
    pub(crate) ratio: Option<f64>,
    /// Why there is no ratio, or what to know about it.
    pub(crate) note: Option<String>,
}

pub(crate) fn ratios(queries: &[String], runs: &[Measurement], reference: &Reference) -> Vec<Ratio> {
    queries.iter().map(|query| ratio(query, runs, reference)).collect()
}

fn ratio(query: &str, runs: &[Measurement], reference: &Reference) -> Ratio {
    let with = |ratio, note| Ratio { query: query.to_owned(), ratio, note };
    let measured = (median(runs, query, Engine::Millrace), median(runs, query, Engine::Flink));
    let (Some(millrace), Some(flink)) = measured else {
        return with(None, Some("only one engine ran".to_owned()));
    };
    if !outputs_agree(runs, query) {
        return with(None, Some("the engines' outputs differ".to_owned()));
    }
    let flink_cpu = flink.cpu_seconds_per_million_events;
    let ratio = Some(flink_cpu / millrace.cpu_seconds_per_million_events);
    match reference.verdict(query, flink_cpu) {
        Verdict::Near => with(ratio, None),
        Verdict::NotStored => with(ratio, Some("no stored figure to check Flink's against".to_owned())),
        Verdict::Off { stored, by } => {
            let note = format!(
                "Flink took {flink_cpu:.1} CPU-s per million, {:+.0} % off the stored {stored:.1}: \
                 the machine is not quiet, or not the one the figures are from",
                by * 100.0
            );
            with(None, Some(note))
        }
    }
}

pub(crate) fn table(queries: &[String], runs: &[Measurement]) -> String {
    let mut text = String::from(
        "\nquery      engine      events/s   CPU-s per million   broker CPU-s   peak memory   rows written   runs\n",
    );
    for query in queries {
        for engine in [Engine::Millrace, Engine::Workers, Engine::Flink] {
            let Some(run) = median(runs, query, engine) else {
                continue;
            };
            let count = runs.iter().filter(|run| run.query == *query && run.engine == engine).count();
            let broker = run.broker_cpu_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"));
            let rows = run.output.map_or("-".to_owned(), |output| output.rows.to_string());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{query:<10} {engine:<8} {:>11.0} {:>19.2} {broker:>14} {:>9.0} MiB {rows:>14} {count:>6}",
                run.events_per_second,
                run.cpu_seconds_per_million_events,
                run.peak_memory_bytes as f64 / f64::from(1 << 20),
            );
        }
    }
    text
}

pub(crate) fn notes(ratios: &[Ratio]) -> String {
    let mut text = String::new();
    for ratio in ratios {
        if let Some(note) = &ratio.note {
            let kind = if ratio.ratio.is_some() { "note" } else { "no ratio" };
            let _ = writeln!(text, "{}: {kind}: {note}", ratio.query);
        }
    }
    text
}

/// What several workers took, set against one: the broker's time counts, since rows between workers go through it.
pub(crate) fn workers(queries: &[String], runs: &[Measurement], replicas: u32) -> String {
    let mut text = String::new();
    let total = |run: &Measurement| {
        let broker = run.broker_cpu_seconds.unwrap_or(0.0);
        (run.cpu_seconds + broker) * 1e6 / run.events as f64
    };
    for query in queries {
        let measured = (median(runs, query, Engine::Millrace), median(runs, query, Engine::Workers));
        let (Some(one), Some(several)) = measured else { continue };
        let (one, several) = (total(one), total(several));
        let _ = writeln!(
            text,
            "{query}: {replicas} workers took {:.2} times the CPU of one, broker included ({several:.2} and {one:.2} CPU-s \
             per million)",
            several / one
        );
    }
    text
}

/// The last line: `bench: q0 5.6x q12 7.1x`.
pub(crate) fn last_line(ratios: &[Ratio]) -> String {
    let mut line = String::from("bench:");
    for Ratio { query, ratio, .. } in ratios {
        let _ = match ratio {
            Some(ratio) => write!(line, " {query} {ratio:.1}x"),
            None => write!(line, " {query} n/a"),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::tests::run;
    use crate::output::Output;

    fn line(runs: &[Measurement], queries: &[&str]) -> (String, String) {
        let reference = Reference::load().expect("the stored figures");
        let queries: Vec<_> = queries.iter().map(|&query| query.to_owned()).collect();
        let ratios = ratios(&queries, runs, &reference);
        (last_line(&ratios), notes(&ratios))
    }

    #[test]
    fn the_last_line_gives_flinks_cpu_over_ours_in_the_order_asked_for() {
        let runs = [
            run("q0", Engine::Millrace, 0.65),
            run("q12", Engine::Millrace, 0.9),
            run("q0", Engine::Flink, 3.64),
            run("q12", Engine::Flink, 6.39),
        ];
        assert_eq!(line(&runs, &["q0", "q12"]), ("bench: q0 5.6x q12 7.1x".to_owned(), String::new()));
    }

    #[test]
    fn a_flink_that_is_far_off_its_stored_figure_gives_no_ratio() {
        let runs = [run("q0", Engine::Millrace, 1.0), run("q0", Engine::Flink, 5.0)];
        let (line, notes) = line(&runs, &["q0"]);
        assert_eq!(line, "bench: q0 n/a");
        assert!(notes.contains("+35 % off the stored 3.7"), "{notes}");
    }

    #[test]
    fn outputs_that_differ_give_no_ratio() {
        let mut runs = [run("q0-kafka", Engine::Millrace, 1.0), run("q0-kafka", Engine::Flink, 8.8)];
        runs[0].output = Some(Output { rows: 1, digest: 1 });
        let (line, notes) = line(&runs, &["q0-kafka"]);
        assert_eq!(line, "bench: q0-kafka n/a");
        assert!(notes.contains("outputs differ"), "{notes}");
    }

    #[test]
    fn an_engine_that_did_not_run_gives_no_ratio() {
        let (line, _) = line(&[run("q0", Engine::Millrace, 1.0)], &["q0"]);
        assert_eq!(line, "bench: q0 n/a");
    }

    #[test]
    fn workers_are_set_against_one_with_the_brokers_time() {
        let mut runs = [run("hop", Engine::Millrace, 1.0), run("hop", Engine::Workers, 1.4)];
        (runs[0].broker_cpu_seconds, runs[1].broker_cpu_seconds) = (Some(0.5), Some(0.7));
        let text = workers(&["hop".to_owned()], &runs, 2);
        assert!(text.starts_with("hop: 2 workers took 1.40 times the CPU of one"), "{text}");
        assert_eq!(workers(&["hop".to_owned()], &runs[..1], 1), "");
    }

    #[test]
    fn the_table_has_a_row_per_query_and_engine() {
        let runs = [run("q0", Engine::Millrace, 1.0), run("q0", Engine::Flink, 4.0)];
        let table = table(&["q0".to_owned()], &runs);
        assert_eq!(table.trim().lines().count(), 3);
        assert!(table.contains("Flink         500000                4.00"), "{table}");
    }
}
