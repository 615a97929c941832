//! Every script in `tests/cases/plan` against its plan, or its error, in the `.txt` beside it.
//! `UPDATE=1 cargo test -p millrace-planner` writes the files anew; read the difference before keeping it.
//!
//! A script may start with lines `--! use NAME`, which put `tests/cases/plan/NAME.tables` before it.

use millrace_planner::{PlanOptions, plan_script};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_script_gives_its_plan_or_its_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/plan");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the cases are beside this test")
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    scripts.sort();
    let update = std::env::var_os("UPDATE").is_some();
    let count = scripts.len();
    let mut wrong = Vec::new();
    for script in scripts {
        let actual = outcome(&folder, &script);
        let expected_path = script.with_extension("txt");
        if update {
            fs::write(&expected_path, &actual).expect("the folder is writable");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            wrong.push(format!("=== {name}\n--- expected\n{expected}--- actual\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 60, "cases went missing: {count} are left");
}

/// What the script's author gets to see.
fn outcome(folder: &Path, script: &Path) -> String {
    let text = fs::read_to_string(script).expect("a case is readable");
    let tables: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("--! use ")).collect();
    let mut sql = String::new();
    for name in &tables {
        // On one line, so that places of errors are those in the script.
        let file = fs::read_to_string(folder.join(format!("{name}.tables"))).expect("the tables are there");
        sql.push_str(&file.lines().collect::<Vec<_>>().join(" "));
        sql.push('\n');
    }
    sql.extend(text.lines().skip(tables.len()).flat_map(|line| [line, "\n"]));
    match plan_script(&sql, &PlanOptions::default()) {
        Ok(planned) => {
            let warnings: String = planned.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            format!("{warnings}{}", planned.plan.explain())
        }
        Err(error) => format!("{:?} error: {error}\n", error.kind),
    }
}
