//! A volume with a size of its own, to fill up and to write-protect: a file system in memory, mounted where only the
//! processes see it that are started inside. Needs root, or a kernel that gives users namespaces of their own; without
//! either it says so, and the test fails.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Gone with this, and with whoever still runs inside.
pub(crate) struct Mount {
    /// Lives in the namespace, and holds it.
    holder: Child,
    as_user: bool,
    path: PathBuf,
}

impl Mount {
    /// A volume of so many mebibytes at `path`.
    pub(crate) fn new(path: &Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(path).expect("the folder is writable");
        let as_user = std::fs::metadata("/proc/self").expect("this process").uid() != 0;
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if as_user {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", r#"mount -t tmpfs -o "size=$2m" none "$1" && echo mounted && exec cat"#, "sh"]);
        command.arg(path).arg(mebibytes.to_string());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = piped.spawn().expect("unshare(1) is there");
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a pipe can be read");
        if said != "mounted\n" {
            let mut why = String::new();
            holder.stderr.take().expect("a pipe").read_to_string(&mut why).expect("a pipe can be read");
            panic!(
                "this test mounts a volume, which needs root, or user namespaces (sysctl user.max_user_namespaces): {why}"
            );
        }
        Self { holder, as_user, path: path.to_owned() }
    }

    /// What runs a command inside, which is to follow.
    pub(crate) fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount"]);
        if self.as_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command
    }

    fn run(&self, arguments: &[&str]) {
        let done = self.inside().args(arguments).arg(&self.path).output().expect("nsenter(1) is there");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A file of nothing that leaves no room for any other.
    pub(crate) fn fill(&self) {
        // It ends with an error, when the volume is full.
        let script = r#"cat /dev/zero >"$0/ballast" 2>/dev/null || true"#;
        self.run(&["sh", "-c", script]);
    }

    pub(crate) fn make_room(&self) {
        self.run(&["sh", "-c", r#"rm "$0/ballast""#]);
    }

    /// While nobody writes there.
    pub(crate) fn write_protect(&self, protect: bool) {
        self.run(&["mount", "-o", if protect { "remount,ro" } else { "remount,rw" }]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
