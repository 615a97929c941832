//! The object that says what a checkpoint consists of. It is written last, so that whoever finds it finds all.

use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::job::JobIdentity;
use millrace_protocol::replay::Applied;
use serde::{Deserialize, Serialize};

/// Raised when a reader of the old form would misread the new one.
pub const MANIFEST_FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    /// Whose state this is.
    pub job: Owner,
    pub task: u32,
    /// Offset of the claim under which it was written.
    pub claim: i64,
    /// How far the state has come.
    pub applied: Applied,
    pub files: Vec<ManifestFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub incarnation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// In RocksDB's directory.
    pub name: String,
    /// Key of the object that it is in.
    pub object: String,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

impl From<&JobIdentity> for Owner {
    fn from(identity: &JobIdentity) -> Self {
        let JobIdentity { namespace, name, uid, incarnation, .. } = identity.clone();
        Self { namespace, name, uid, incarnation }
    }
}

impl Manifest {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("plain data always serialises")
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let unreadable = "it can't be read as the manifest of a checkpoint";
        let value: serde_json::Value = serde_json::from_slice(bytes).or_kind(ErrorKind::FailJob, unreadable)?;
        if value["format"] != MANIFEST_FORMAT {
            return Err(Error::fail_job(format!(
                "it is of format {}, and this version of Millrace reads format {MANIFEST_FORMAT}: run the version that \
                 wrote it",
                value["format"]
            )));
        }
        let manifest: Self = serde_json::from_value(value).or_kind(ErrorKind::FailJob, unreadable)?;
        // Names become paths on the volume.
        let astray = manifest
            .files
            .iter()
            .find(|file| file.name.is_empty() || file.name.contains('/') || file.name.starts_with('.'));
        match astray {
            Some(file) => Err(Error::fail_job(format!("{unreadable}: {:?} is no name of a file", file.name))),
            None => Ok(manifest),
        }
    }

    pub fn check_owner(&self, identity: &JobIdentity, task: u32) -> Result<()> {
        let expected = Owner::from(identity);
        if (&self.job, self.task) == (&expected, task) {
            return Ok(());
        }
        let whose = |owner: &Owner, task: u32| {
            let Owner { namespace, name, uid, incarnation } = owner;
            format!("task {task} of job {namespace}/{name} ({uid}, incarnation {incarnation})")
        };
        Err(Error::fail_job(format!("it is of {}, not of {}", whose(&self.job, self.task), whose(&expected, task))))
    }

    /// Of all its files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_protocol::record::Commit;

    fn identity() -> JobIdentity {
        JobIdentity { namespace: "ns".into(), name: "job".into(), uid: "uid".into(), incarnation: 1, generation: 3 }
    }

    fn manifest() -> Manifest {
        let commit = Commit { claim: 3, sequence: 1, positions: Vec::new() };
        let applied = Applied { log_offset: 9, commit, generation: 3, transactional_id: "id".into() };
        let file = ManifestFile { name: "7.sst".into(), object: "files/x".into(), bytes: 5, sha256: "00".into() };
        let job = Owner::from(&identity());
        Manifest { format: MANIFEST_FORMAT, job, task: 2, claim: 3, applied, files: vec![file] }
    }

    #[test]
    fn what_is_written_is_read_and_a_generation_is_no_owner() {
        let read = Manifest::parse(&manifest().encode()).unwrap();
        assert_eq!(read, manifest());
        read.check_owner(&JobIdentity { generation: 4, ..identity() }, 2).unwrap();
        let error = read.check_owner(&JobIdentity { incarnation: 2, ..identity() }, 2).unwrap_err();
        assert!(
            error.to_string().contains("incarnation 1), not of task 2 of job ns/job (uid, incarnation 2)"),
            "{error}"
        );
        assert!(read.check_owner(&identity(), 1).is_err());
    }

    #[test]
    fn later_formats_and_files_elsewhere_are_refused() {
        let later = Manifest { format: 2, ..manifest() };
        let error = Manifest::parse(&later.encode()).unwrap_err();
        assert!(error.to_string().contains("run the version that wrote it"), "{error}");
        for name in ["../etc", "/etc", ".", ""] {
            let mut astray = manifest();
            astray.files[0].name = name.into();
            assert!(Manifest::parse(&astray.encode()).is_err(), "{name}");
        }
        assert!(Manifest::parse(b"{").is_err());
    }
}
