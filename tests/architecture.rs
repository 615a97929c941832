//! What ARCHITECTURE.md and the other documents claim, checked: paths exist, dependencies point one way,
//! planner and protocol do no IO, every file says what it is. Needs nothing but the tree and cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this has two thoughts in it.
const FILE_LINES_MAX: usize = 600;

/// Which crates of ours each crate may use. Tests and benchmarks of a crate may use what stands behind `+`.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("millrace-crds", &[]),
    ("millrace-planner", &[]),
    ("millrace-protocol", &[]),
    ("millrace-broker", &[]),
    ("millrace-job-runtime", &["millrace-crds", "millrace-planner", "millrace-protocol", "+millrace-broker"]),
    ("millrace-launch", &["millrace-crds", "millrace-job-runtime", "millrace-planner", "millrace-protocol"]),
    ("millrace-operator", &["millrace-crds", "millrace-job-runtime", "millrace-launch", "millrace-planner"]),
    (
        "millrace-cli",
        &[
            "millrace-broker",
            "millrace-crds",
            "millrace-job-runtime",
            "millrace-launch",
            "millrace-operator",
            "millrace-planner",
            "millrace-protocol",
        ],
    ),
    ("millrace-benchmarks", &[]),
    ("millrace-simulation", &["millrace-protocol"]),
    (
        "millrace-tests",
        &[
            "+millrace-broker",
            "+millrace-crds",
            "+millrace-job-runtime",
            "+millrace-operator",
            "+millrace-planner",
            "+millrace-protocol",
            "+millrace-simulation",
        ],
    ),
];

pub(crate) fn root() -> PathBuf {
    PathBuf::from("..")
}

/// Every file of the tree with this extension, the build's products and hidden folders left out.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry of the tree").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Fails with all of what is wrong, not the first of it.
pub(crate) fn expect_none(wrong: Vec<String>, claim: &str) {
    assert!(wrong.is_empty(), "{claim}:\n  {}", wrong.join("\n  "));
}

struct Dependency {
    name: String,
    for_tests: bool,
}

/// What `cargo metadata` tells of the workspace, without a network.
pub(crate) fn metadata(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo's JSON")
}

fn dependencies() -> BTreeMap<String, Vec<Dependency>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let listed = package["dependencies"].as_array().into_iter().flatten();
            let listed = listed.map(|d| Dependency { name: text(&d["name"]), for_tests: d["kind"] == "dev" });
            (text(&package["name"]), listed.collect())
        })
        .collect()
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = DEPENDENCIES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (package, dependencies) in dependencies() {
        let Some(allowed) = allowed.get(package.as_str()) else {
            wrong.push(format!("{package} has no rule here: say what it may depend on"));
            continue;
        };
        for dependency in dependencies.iter().filter(|d| d.name.starts_with("millrace-")) {
            let name = dependency.name.as_str();
            let in_tests = dependency.for_tests && allowed.iter().any(|a| a.strip_prefix('+') == Some(name));
            if !in_tests && !allowed.contains(&name) {
                wrong.push(format!("{package} depends on {name}"));
            }
        }
    }
    expect_none(wrong, "dependencies against the rules of ARCHITECTURE.md");
}

#[test]
fn planner_and_protocol_do_no_io_and_know_no_kafka_client() {
    let dependencies = dependencies();
    let banned = ["tokio", "rdkafka", "rdkafka-sys", "rocksdb", "axum", "kafka-protocol"];
    let mut wrong = Vec::new();
    for package in ["millrace-planner", "millrace-protocol"] {
        let used = dependencies[package].iter().filter(|d| !d.for_tests).map(|d| d.name.as_str());
        wrong.extend(used.filter(|name| banned.contains(name)).map(|name| format!("{package} uses {name}")));
    }
    let io = ["std::fs", "std::net", "std::process", "std::env::", "std::time::Instant", "SystemTime", "println!"];
    let without_io = |path: &&PathBuf| ["planner/src/", "protocol/src/"].iter().any(|p| relative(path).starts_with(p));
    for path in files("rs").iter().filter(without_io) {
        let text = read(path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            wrong.extend(io.iter().filter(|io| line.contains(**io)).map(|io| format!("{}: {io}", relative(path))));
        }
    }
    expect_none(wrong, "planner or protocol do IO");
}

#[test]
fn every_file_opens_with_what_it_is_and_is_short() {
    let mut wrong = Vec::new();
    for path in files("rs") {
        let text = read(&path);
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not open with `//!`", relative(&path)));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines", relative(&path)));
        }
    }
    expect_none(wrong, "files that don't keep to the style");
}

#[test]
fn no_module_is_a_catch_all() {
    let names = ["utils", "util", "common", "helpers", "helper", "misc", "shared"];
    let catch_all = |path: &&PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        names.contains(&stem.as_str()) || names.contains(&folder.as_str())
    };
    expect_none(files("rs").iter().filter(catch_all).map(|path| relative(path)).collect(), "modules without a subject");
}

/// Checkouts may share a target folder, and cargo does not build anew for another place: a test would read another tree's files,
/// or none. Tests run in the folder of their crate.
#[test]
fn no_test_has_the_place_of_its_checkout_compiled_in() {
    let compiled_in = concat!("env!(\"CARGO_", "MANIFEST_DIR\")");
    let tests = files("rs").into_iter().filter(|path| relative(path).contains("tests"));
    let wrong = tests.filter(|path| read(path).contains(compiled_in)).map(|path| relative(&path));
    expect_none(wrong.collect(), "tests find files from the folder that they run in");
}

#[test]
fn paths_that_the_architecture_names_exist_and_every_crate_is_named() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut wrong = Vec::new();
    for path in code_spans(&text).into_iter().filter(|span| looks_like_a_path(span)) {
        if !root().join(&path).exists() {
            wrong.push(format!("`{path}` does not exist"));
        }
    }
    let members = read(&root().join("Cargo.toml"));
    let members = members.lines().find(|line| line.starts_with("members")).expect("the workspace's members");
    for member in members.split('"').skip(1).step_by(2) {
        if !text.contains(&format!("`{member}/")) {
            wrong.push(format!("the crate {member}/ is not in the code map"));
        }
    }
    expect_none(wrong, "ARCHITECTURE.md");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files("md") {
        let text = read(&path);
        let folder = path.parent().expect("a file has a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                wrong.push(format!("{}: {target}", relative(&path)));
            }
        }
    }
    expect_none(wrong, "links to nothing");
}

/// What stands in single backticks, outside of fenced blocks.
fn code_spans(markdown: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut spans = BTreeSet::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// A folder (`broker/src/`) or a file in one (`cli/src/main.rs`), without placeholders.
fn looks_like_a_path(span: &str) -> bool {
    span.contains('/')
        && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !span.starts_with('/')
}
