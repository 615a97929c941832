//! Mutants: small wrongs put into the protocol, or into how it is performed, each of which the oracle must
//! notice. They are data (`mutants/*.toml`): a text that stands exactly once in a file, and what to put in
//! its place. Each is built from a copy of the sources, without debug assertions, and run until the oracle
//! finds fault with what came out; a panic or an assertion doesn't count.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::{fs, io};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutant {
    pub name: String,
    /// In the repository.
    pub file: String,
    pub find: String,
    pub replace: String,
    /// What goes wrong with it.
    pub why: String,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// By which seed, and what the oracle said.
    Caught(String),
    Survived,
    /// It can't be applied, or does not compile: the list is wrong.
    Broken(String),
}

const FOLDER: &str = "tests/simulation/mutants";

/// The one that this runs in.
pub fn repository() -> PathBuf {
    let here = std::env::current_dir().expect("there is a working directory");
    here.ancestors().find(|folder| folder.join(FOLDER).is_dir()).expect("it runs in the repository").to_path_buf()
}

/// # Errors
/// When the lists can't be read, or say something else than mutants.
pub fn load() -> io::Result<Vec<Mutant>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(repository().join(FOLDER))?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut mutants = Vec::new();
    for file in files {
        let listed = parse(&fs::read_to_string(&file)?);
        mutants.extend(listed.map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?);
    }
    Ok(mutants)
}

/// The little of TOML that the lists use: `[[mutant]]`, and keys with "one line" or '''several'''.
fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let wrong = |what: &str| format!("line {}: {what}", number + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.trim() == "[[mutant]]" {
            mutants.push(Mutant::default());
            continue;
        }
        let (key, value) = line.split_once(" = ").ok_or_else(|| wrong("expected `key = value`"))?;
        let value = if value == "'''" {
            let several: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "'''").collect();
            several.join("\n")
        } else {
            let quoted = value.strip_prefix(['"', '\'']).and_then(|value| value.strip_suffix(['"', '\'']));
            quoted.ok_or_else(|| wrong("expected a value in quotes"))?.to_owned()
        };
        let mutant = mutants.last_mut().ok_or_else(|| wrong("expected [[mutant]]"))?;
        match key {
            "name" => mutant.name = value,
            "file" => mutant.file = value,
            "find" => mutant.find = value,
            "replace" => mutant.replace = value,
            "why" => mutant.why = value,
            _ => return Err(wrong("expected name, file, find, replace or why")),
        }
    }
    Ok(mutants)
}

/// Builds and hunts every mutant, some at a time. `told` hears of each as soon as its fate is known.
pub fn hunt(
    mutants: &[Mutant],
    oracle: &Path,
    scratch: &Path,
    seeds: u64,
    lanes: usize,
    told: &(dyn Fn(&Mutant, &Fate) + Sync),
) -> Vec<Fate> {
    let waiting = Mutex::new((0..mutants.len()).collect::<Vec<_>>().into_iter());
    let fates = Mutex::new(vec![Fate::Broken("not tried".to_owned()); mutants.len()]);
    let work = |lane: usize| {
        let lane = Lane { folder: scratch.join(format!("lane-{lane}")), oracle, seeds };
        let ready = lane.prepare();
        while let Some(at) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
            let fate = match &ready {
                Ok(()) => lane.hunt(&mutants[at]).unwrap_or_else(|error| Fate::Broken(error.to_string())),
                Err(error) => Fate::Broken(format!("no copy of the sources: {error}")),
            };
            told(&mutants[at], &fate);
            if let Ok(mut fates) = fates.lock() {
                fates[at] = fate;
            }
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes.max(1)).map(|lane| scope.spawn(move || work(lane))).collect();
        lanes.into_iter().for_each(|lane| drop(lane.join()));
    });
    fates.into_inner().unwrap_or_default()
}

/// A copy of the sources in which one mutant at a time is built.
struct Lane<'a> {
    folder: PathBuf,
    oracle: &'a Path,
    seeds: u64,
}

impl Lane<'_> {
    fn prepare(&self) -> io::Result<()> {
        let repository = repository();
        for crate_folder in ["protocol", "tests/simulation"] {
            copy_tree(&repository.join(crate_folder), &self.folder.join(crate_folder))?;
        }
        let manifest = fs::read_to_string(repository.join("Cargo.toml"))?;
        let members = manifest.lines().map(|line| {
            let ours = r#"members = ["protocol", "tests/simulation"]"#;
            if line.starts_with("members = ") { ours } else { line }
        });
        write_if_new(&self.folder.join("Cargo.toml"), members.collect::<Vec<_>>().join("\n").as_bytes())?;
        write_if_new(&self.folder.join("Cargo.lock"), &fs::read(repository.join("Cargo.lock"))?)
    }

    fn hunt(&self, mutant: &Mutant) -> io::Result<Fate> {
        let file = self.folder.join(&mutant.file);
        let original = fs::read_to_string(&file)?;
        let found = original.matches(&mutant.find).count();
        if mutant.find.is_empty() || found != 1 {
            return Ok(Fate::Broken(format!("its text stands {found} times in {}", mutant.file)));
        }
        fs::write(&file, original.replacen(&mutant.find, &mutant.replace, 1))?;
        let fate = self.build_and_run();
        fs::write(&file, original)?;
        fate
    }

    fn build_and_run(&self) -> io::Result<Fate> {
        let target = self.folder.join("target");
        let mut built = self.build(&target)?;
        if !built.status.success() && target.exists() {
            // A build that was interrupted may have left objects that do not fit together.
            fs::remove_dir_all(&target)?;
            built = self.build(&target)?;
        }
        if !built.status.success() {
            return Ok(Fate::Broken(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        let hunted = Command::new(target.join("debug/simulate"))
            .args(["--hunt", "--seeds", &self.seeds.to_string(), "--threads", "1", "--oracle"])
            .arg(self.oracle)
            .stderr(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&hunted.stdout).into_owned();
        match said.lines().last().unwrap_or_default() {
            "survived" => Ok(Fate::Survived),
            line => match line.strip_prefix("caught by ") {
                Some(how) => Ok(Fate::Caught(how.to_owned())),
                None => Ok(Fate::Broken(format!("its simulation ended with {}: {line}", hunted.status))),
            },
        }
    }

    fn build(&self, target: &Path) -> io::Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo)
            .args(["build", "--offline", "--quiet", "--package", "millrace-simulation", "--bin", "simulate"])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")
            .env("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .output()
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            write_if_new(&to, &fs::read(&from)?)?;
        }
    }
    Ok(())
}

/// Leaves a file alone that says this already: cargo rebuilds by time.
fn write_if_new(file: &Path, text: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|old| old == text) { Ok(()) } else { fs::write(file, text) }
}
