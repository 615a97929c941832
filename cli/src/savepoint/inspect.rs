//! Shows what is in a savepoint.

use super::place;
use crate::args;
use crate::input;
use crate::plan::print_line;
use crate::report::Failure;
use millrace_job_runtime::savepoint::manifest::{Manifest, ManifestOperator, ManifestTable};

pub(crate) fn inspect(args: &args::InspectSavepoint) -> Result<(), Failure> {
    let manifest = Manifest::read(&place::open(&args.place)?)?;
    if args.json {
        let json = serde_json::to_string_pretty(&manifest)
            .map_err(|error| Failure::Job(format!("the manifest is no JSON: {error}")))?;
        return print_line(&json);
    }
    print_line(&summary(&manifest))?;
    let Some(file) = &args.against else { return Ok(()) };
    let input = input::read(file)?;
    let comparison = manifest.compare(&input.plan)?;
    print_line(&format!("under {}:\n{comparison}", file.display()))
}

fn summary(manifest: &Manifest) -> String {
    let job = &manifest.job;
    let mut lines = vec![format!(
        "savepoint {} of {}/{} ({}, incarnation {}, generation {}), {} tasks, written by Millrace {}",
        manifest.savepoint,
        job.namespace,
        job.name,
        job.uid,
        job.incarnation,
        job.generation,
        manifest.parallelism,
        manifest.written_by
    )];
    for operator in &manifest.operators {
        lines.push(format!("  {:08x} {}", operator.id, operator.name));
        lines.extend(operator.tables.iter().map(|table| table_line(manifest, operator, table)));
        lines.extend(position_line(manifest, operator));
    }
    lines.join("\n")
}

fn table_line(manifest: &Manifest, operator: &ManifestOperator, table: &ManifestTable) -> String {
    let files = manifest.tasks.iter().flat_map(|task| &task.files);
    let files: Vec<_> = files.filter(|file| file.operator == operator.id && file.table == table.id).collect();
    let (rows, bytes) = (files.iter().map(|f| f.rows).sum::<u64>(), files.iter().map(|f| f.bytes).sum::<u64>());
    format!("    {}: {rows} entries, {bytes} bytes in {} files; {}", table.name, files.len(), table.layout)
}

/// Where the source goes on.
fn position_line(manifest: &Manifest, operator: &ManifestOperator) -> Option<String> {
    let positions = manifest.tasks.iter().flat_map(|task| &task.commit.positions);
    let mut positions: Vec<_> = positions.filter(|p| p.operator == operator.id).collect();
    positions.sort_by_key(|p| (&p.topic, p.partition));
    let texts: Vec<String> = positions.iter().map(|p| format!("{}-{}@{}", p.topic, p.partition, p.offset)).collect();
    (!texts.is_empty() && !operator.name.starts_with("Exchange"))
        .then(|| format!("    goes on at {}", texts.join(", ")))
}
