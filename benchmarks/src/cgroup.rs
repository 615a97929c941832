//! A limit on the memory of a process and its children, as a pod has one: a control group of its own. Needs root, and
//! a kernel with either version of control groups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// Goes with its guard, when its processes have ended.
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    /// Version 2.
    unified: bool,
}

impl MemoryGroup {
    pub(crate) fn new(name: &str, limit_bytes: u64) -> Result<Self> {
        let unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let parent = if unified { PathBuf::from(ROOT) } else { Path::new(ROOT).join("memory") };
        if unified {
            write(&parent.join("cgroup.subtree_control"), "+memory")?;
        }
        let folder = parent.join(name);
        fs::create_dir(&folder).with_context(|| format!("making the control group {}", folder.display()))?;
        let group = Self { folder, unified };
        write(&group.file("memory.max", "memory.limit_in_bytes"), &limit_bytes.to_string())?;
        if unified {
            write(&group.folder.join("memory.swap.max"), "0")?;
        }
        Ok(group)
    }

    /// The same command, within the group from its start.
    pub(crate) fn around(&self, command: &Command) -> Command {
        let mut within = Command::new("sh");
        within.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.folder.join("cgroup.procs"));
        within.arg(command.get_program()).args(command.get_args());
        within
    }

    /// Memory of its processes themselves; what the kernel holds of their files is not in it.
    pub(crate) fn own_bytes(&self) -> Result<u64> {
        let path = self.folder.join("memory.stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = if self.unified { "anon " } else { "total_rss " };
        let value = stat.lines().find_map(|line| line.strip_prefix(name)).context("memory.stat lacks it")?;
        value.trim().parse().context("memory.stat has no number there")
    }

    fn file(&self, unified: &str, legacy: &str) -> PathBuf {
        self.folder.join(if self.unified { unified } else { legacy })
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {text} to {}", path.display()))
}
