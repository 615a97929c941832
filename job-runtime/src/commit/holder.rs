//! Who works in a state directory: a name kept there, so that the same directory may claim its tasks again at once,
//! where another would have to wait. Not here: whose state it is, which each store says itself.

use crate::condition::Reason;
use crate::error::{Error, Result};
use crate::state::volume::VolumeContext;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use uuid::Uuid;

/// The name in a state directory, or a new one where there is none yet. One that can't be read is not replaced: what
/// can't read a line won't keep a state, and whoever has put something else there may be using it.
pub fn holder(directory: &Path) -> Result<String> {
    let path = directory.join("holder");
    std::fs::create_dir_all(directory).on_volume(directory, || format!("could not make {}", directory.display()))?;
    match std::fs::read(&path) {
        Ok(name) => kept(&name, &path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let holder = Uuid::new_v4().to_string();
            write(&holder, &path).on_volume(&path, || format!("could not write {}", path.display()))?;
            Ok(holder)
        }
        Err(error) => Err(error).on_volume(&path, || format!("could not read {}", path.display())),
    }
}

fn kept(name: &[u8], path: &Path) -> Result<String> {
    let name = std::str::from_utf8(name).ok().map(str::trim).filter(|name| Uuid::parse_str(name).is_ok());
    name.map(str::to_owned).ok_or_else(|| {
        Error::fail_job(format!(
            "{} is not what a worker writes there: give the worker a directory of its own. If this one is, remove the file \
             and start the worker again; nothing is lost with it",
            path.display()
        ))
        .because(Reason::VolumeForeign)
    })
}

/// Written beside and renamed, so that it is there whole or not at all.
fn write(holder: &str, path: &Path) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(holder.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().expect("it is in a directory"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, second) = (directory.path().join("a/b"), directory.path().join("c"));
        let name = holder(&first).expect("a new name");
        assert_eq!(holder(&first).expect("the same"), name);
        assert_ne!(holder(&second).expect("another"), name);
    }

    #[test]
    fn a_name_that_is_none_is_refused_and_stays_as_it_is() {
        for content in [&b""[..], b"another program's\n", b"\xff\xfe"] {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("holder");
            std::fs::write(&file, content).expect("a file");
            let error = holder(directory.path()).expect_err("no name");
            assert_eq!(error.reason(), Reason::VolumeForeign, "{error}");
            assert!(error.to_string().contains("remove the file"), "{error}");
            assert_eq!(std::fs::read(&file).expect("still there"), content);
        }
    }

    #[test]
    fn a_name_that_cannot_be_read_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        // A directory in its place can't be read as a file, whoever asks.
        std::fs::create_dir(directory.path().join("holder")).expect("a directory");
        let error = holder(directory.path()).expect_err("it is no file");
        assert_eq!(error.reason(), Reason::VolumeFailed, "{error}");
        assert!(error.to_string().contains("could not read"), "{error}");
    }
}
