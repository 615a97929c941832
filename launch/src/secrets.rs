//! Where the Secrets are that a manifest names. Values come from here straight into a client's options, and stand in no
//! file, message or log.

use millrace_job_runtime::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub trait Secrets {
    /// A key of a Secret. `whose` is for the message where there is none: who needs it.
    fn value(&self, whose: &str, name: &str, key: &str) -> Result<String>;

    /// All keys of a Secret.
    fn entries(&self, name: &str) -> Result<BTreeMap<String, String>>;
}

/// A directory that has `<secret>/<key>` for each key, as a pod's volumes do; None: the command was given none.
pub struct SecretDirectory(pub Option<PathBuf>);

impl Secrets for SecretDirectory {
    fn value(&self, whose: &str, name: &str, key: &str) -> Result<String> {
        let Some(directory) = &self.0 else {
            return Err(Error::user_fault(format!(
                "{whose} needs the Secret {name}: give a directory that has {name}/{key} with --secrets, or another Kafka \
                 with --kafka"
            )));
        };
        let path = directory.join(name).join(key);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::user_fault(format!("could not read {} for the Secret {name}: {error}", path.display()))
        })?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Empty without a directory: the environment has them then.
    fn entries(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let Some(directory) = &self.0 else { return Ok(BTreeMap::new()) };
        let directory = directory.join(name);
        let unreadable = |error: std::io::Error| {
            Error::user_fault(format!("could not read {} for the Secret {name}: {error}", directory.display()))
        };
        let mut entries = BTreeMap::new();
        for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            // A mounted Secret has folders of its own making beside the keys.
            if path.is_file() {
                let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let value = std::fs::read_to_string(&path).map_err(unreadable)?;
                entries.insert(key, value.trim_end_matches('\n').to_owned());
            }
        }
        Ok(entries)
    }
}
