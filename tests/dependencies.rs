//! What deny.toml says of dependencies, checked wherever the tests run: banned crates, licences, sources.
//! Needs neither cargo-deny nor a network; known vulnerabilities and yanked crates are left to those who have
//! both.

use crate::architecture::{expect_none, metadata, read, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::SplitWhitespace;
use toml_edit::{Array, DocumentMut};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The settings that the tests below check as they are, or that forbid nothing, or that need the network.
const KNOWN: &[(&str, &str)] = &[
    ("graph", "targets"),
    ("advisories", "version = 2"),
    ("advisories", "yanked = \"deny\""),
    ("licenses", "version = 2"),
    ("licenses", "allow"),
    ("bans", "multiple-versions = \"allow\""),
    ("bans", "wildcards = \"deny\""),
    ("bans", "allow-wildcard-paths = true"),
    ("bans", "deny"),
    ("sources", "unknown-registry = \"deny\""),
    ("sources", "unknown-git = \"deny\""),
];

fn rules() -> DocumentMut {
    read(&root().join("deny.toml")).parse().expect("deny.toml is TOML")
}

fn array<'a>(rules: &'a DocumentMut, table: &str, key: &str) -> &'a Array {
    rules[table][key].as_array().unwrap_or_else(|| panic!("deny.toml has no list {key} in [{table}]"))
}

fn texts(array: &Array) -> impl Iterator<Item = &str> {
    array.iter().map(|value| value.as_str().expect("a list of texts"))
}

/// Every crate of the build for the targets of deny.toml.
struct Graph {
    packages: BTreeMap<String, Value>,
    /// By crate, the names of those that depend on it.
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn new(rules: &DocumentMut) -> Self {
        let mut arguments = vec!["--locked"];
        arguments.extend(texts(array(rules, "graph", "targets")).flat_map(|target| ["--filter-platform", target]));
        let metadata = metadata(&arguments);
        let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages = listed(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package));
        let packages: BTreeMap<_, _> = packages.collect();
        let mut dependents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for node in listed(&metadata["resolve"]["nodes"]) {
            for dependency in listed(&node["dependencies"]) {
                let name = text(&packages[&text(&node["id"])]["name"]);
                dependents.entry(text(&dependency)).or_default().insert(name);
            }
        }
        Self { packages, dependents }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

#[test]
fn every_setting_of_deny_toml_is_one_that_these_tests_know() {
    let mut wrong = Vec::new();
    for (table, settings) in rules().iter() {
        for (key, value) in settings.as_table().into_iter().flat_map(|settings| settings.iter()) {
            let setting = match (value.as_str(), value.as_bool(), value.as_integer()) {
                (Some(text), ..) => format!("{key} = \"{text}\""),
                (_, Some(flag), _) => format!("{key} = {flag}"),
                (_, _, Some(number)) => format!("{key} = {number}"),
                _ => key.to_owned(),
            };
            if !KNOWN.contains(&(table, &setting)) {
                wrong.push(format!("[{table}] {setting}"));
            }
        }
    }
    expect_none(wrong, "settings of deny.toml that nothing here checks");
}

#[test]
fn no_crate_is_banned() {
    let rules = rules();
    let graph = Graph::new(&rules);
    let mut wrong = Vec::new();
    for ban in array(&rules, "bans", "deny").iter().map(|ban| ban.as_inline_table().expect("a ban is a table")) {
        let field = |name| ban.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let wrappers = ban.get("wrappers").and_then(|value| value.as_array());
        let wrappers: BTreeSet<&str> = wrappers.into_iter().flat_map(texts).collect();
        for (id, package) in graph.packages.iter().filter(|(_, package)| package["name"] == field("crate")) {
            let dependents = graph.dependents.get(id).into_iter().flatten();
            let users = dependents.filter(|name| !wrappers.contains(name.as_str()));
            wrong.extend(users.map(|user| format!("{user} uses {}: {}", shown(package), field("reason"))));
        }
    }
    for package in graph.packages.values().filter(|package| package["source"].is_null()) {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let any = dependencies.filter(|d| d["req"] == "*" && d["path"].is_null());
        wrong.extend(any.map(|d| format!("{} takes any version of {}", shown(package), text(&d["name"]))));
    }
    expect_none(wrong, "dependencies that deny.toml bans");
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let rules = rules();
    let allowed: BTreeSet<&str> = texts(array(&rules, "licenses", "allow")).collect();
    let packages = Graph::new(&rules).packages.into_values();
    let other = packages.filter(|package| !is_met(&text(&package["license"]), &allowed));
    expect_none(other.map(|p| format!("{}: {}", shown(&p), p["license"])).collect(), "licences that are not allowed");
}

#[test]
fn every_crate_comes_from_this_tree_or_crates_io() {
    let packages = Graph::new(&rules()).packages.into_values();
    let other = packages.filter(|package| !package["source"].is_null() && package["source"] != CRATES_IO);
    expect_none(other.map(|p| format!("{}: {}", shown(&p), p["source"])).collect(), "sources that are not allowed");
}

type Tokens<'a> = Peekable<SplitWhitespace<'a>>;

/// Whether an SPDX expression can be met with these licences. `A/B` is an old spelling of `A OR B`.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    either(&mut tokens, allowed) == Some(true) && tokens.next().is_none()
}

/// None: that is no expression.
fn either(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut met = both(tokens, allowed)?;
    while tokens.next_if_eq(&"OR").is_some() {
        met |= both(tokens, allowed)?;
    }
    Some(met)
}

fn both(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut met = licence(tokens, allowed)?;
    while tokens.next_if_eq(&"AND").is_some() {
        met &= licence(tokens, allowed)?;
    }
    Some(met)
}

fn licence(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    match tokens.next()? {
        "(" => {
            let met = either(tokens, allowed)?;
            (tokens.next()? == ")").then_some(met)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        name if tokens.next_if_eq(&"WITH").is_some() => {
            Some(allowed.contains(format!("{name} WITH {}", tokens.next()?).as_str()))
        }
        name => Some(allowed.contains(name)),
    }
}

#[test]
fn a_licence_is_met_by_one_side_of_or_and_by_both_of_and() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for met in ["MIT", "GPL-3.0/MIT", "MIT AND ISC", "GPL-3.0 OR (MIT AND ISC)", "Apache-2.0 WITH LLVM-exception"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not_met in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC", "MIT ISC", "Apache-2.0", "MIT OR ISC AND OR"] {
        assert!(!is_met(not_met, &allowed), "{not_met}");
    }
}
