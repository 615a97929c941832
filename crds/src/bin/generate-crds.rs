//! Writes `crds/streamjob.yaml` from the Rust types; `--check` only says whether the file is up to date,
//! as the drift test does.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("streamjob.yaml");
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    match millrace_crds::stream_job_yaml() {
        Err(error) => fail(&format!("the definition can't be written as YAML: {error}")),
        Ok(yaml) if check => match std::fs::read_to_string(&path) {
            Ok(file) if file == yaml => ExitCode::SUCCESS,
            _ => fail(&format!(
                "{} is out of date: run `cargo run -p millrace-crds --bin generate-crds`",
                path.display()
            )),
        },
        Ok(yaml) => match std::fs::write(&path, yaml) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{}: {error}", path.display())),
        },
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
