//! Writes the definitions (`crds/*.yaml`) from the Rust types; `--check` only says whether they are up to date,
//! as the drift test does.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    match millrace_crds::generated() {
        Err(error) => fail(&format!("a definition can't be written as YAML: {error}")),
        Ok(files) => {
            let failed = files.into_iter().filter(|(file, yaml)| !write(file, yaml, check)).count();
            if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// Whether the file is, or now is, what it should be.
fn write(file: &str, yaml: &str, check: bool) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if check {
        let current = std::fs::read_to_string(&path).is_ok_and(|text| text == yaml);
        if !current {
            fail(&format!("{} is out of date: run `cargo run -p millrace-crds --bin generate-crds`", path.display()));
        }
        return current;
    }
    std::fs::write(&path, yaml).map_err(|error| fail(&format!("{}: {error}", path.display()))).is_ok()
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
