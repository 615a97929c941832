//! A place outside the volumes where copies of state are kept: a prefix of an object store, a directory that all workers
//! see, or a topic. Calls block. Not here: what is kept there and under which names (`savepoint/`, `archive/`).

mod objects;
mod topic;

pub use objects::choose_cryptography;

use self::objects::Objects;
use self::topic::Topic;
use crate::error::{Error, Result};
use crate::job::Kafka;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the location of a topic begins with.
pub const KAFKA_SCHEME: &str = "kafka:";

/// What every kind of place does.
trait Place: Send + Sync {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Stored>;
    fn put_file(&self, name: &str, file: &Path, wanted: &dyn Fn() -> bool) -> Result<Stored>;
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;
    fn get_file(&self, name: &str, expected: &Stored, file: &Path) -> Result<()>;
    fn size(&self, name: &str) -> Result<Option<u64>>;
    fn delete(&self, name: &str) -> Result<()>;
    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>>;
    fn names(&self) -> Result<Vec<String>>;
    fn remove(&self, names: &[String]) -> Result<()>;
}

/// One place; everything in it is named from there.
#[derive(Clone)]
pub struct Storage {
    place: Arc<dyn Place>,
    /// As it was given, for messages.
    location: String,
}

/// What is stored under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

const GIVEN_UP: &str = "nobody wanted it any more";

impl Storage {
    /// `s3://bucket/prefix`, `file:///directory` or a directory, with options of the client (`AWS_ENDPOINT_URL`,
    /// `AWS_REGION`, `AWS_SECRET_ACCESS_KEY`, …), which count for more than the environment's. Nothing is looked at yet.
    pub fn open_with(location: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self::new(Objects::open(location, options)?, location))
    }

    /// The same without options, or `kafka:topic`, on the Kafka that is given.
    pub fn open(location: &str, kafka: Option<&Kafka>) -> Result<Self> {
        match location.strip_prefix(KAFKA_SCHEME) {
            Some(topic) => Ok(Self::new(Topic::open(topic, location, kafka)?, location)),
            None => Self::open_with(location, &BTreeMap::new()),
        }
    }

    /// The same, for reading: a directory or a topic is not made, and it is a mistake that there is none.
    pub fn existing(location: &str, kafka: Option<&Kafka>) -> Result<Self> {
        Self::find(location, kafka)?.ok_or_else(|| {
            let what = match (location.strip_prefix(KAFKA_SCHEME), kafka) {
                (Some(topic), Some(kafka)) => format!("topic {topic} on Kafka at {}", kafka.bootstrap_servers),
                _ => format!("directory {location}"),
            };
            Error::user_fault(format!("there is no {what}"))
        })
    }

    /// The same; None where there is no such directory or topic.
    pub fn find(location: &str, kafka: Option<&Kafka>) -> Result<Option<Self>> {
        match location.strip_prefix(KAFKA_SCHEME) {
            Some(topic) => Ok(Topic::find(topic, location, kafka)?.map(|place| Self::new(place, location))),
            None => Ok(Objects::find(location)?.map(|place| Self::new(place, location))),
        }
    }

    fn new(place: impl Place + 'static, location: &str) -> Self {
        Self { place: Arc::new(place), location: trimmed(location) }
    }

    /// As it was given.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Stores a small object, whole or not at all.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Stored> {
        self.place.put(name, bytes)
    }

    /// Stores a file, whole or not at all. Ends early when it is not `wanted` any more.
    pub fn put_file(&self, name: &str, file: &Path, wanted: &dyn Fn() -> bool) -> Result<Stored> {
        self.place.put_file(name, file, wanted)
    }

    /// A small object; None where there is none.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.place.get(name)
    }

    /// Copies an object into a file, and checks that it is what was stored.
    pub fn get_file(&self, name: &str, expected: &Stored, file: &Path) -> Result<()> {
        self.place.get_file(name, expected, file)
    }

    /// How many bytes an object has; None where there is none.
    pub fn size(&self, name: &str) -> Result<Option<u64>> {
        self.place.size(name)
    }

    /// Deletes an object; that there is none is no mistake.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.place.delete(name)
    }

    /// What is in a folder, by name, with sizes; not what is in folders of it.
    pub fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        self.place.list(folder)
    }

    /// Of everything in the place, folders of it included.
    pub fn names(&self) -> Result<Vec<String>> {
        self.place.names()
    }

    /// Removes the place with everything in it, which has these names, in this order where one goes after the other.
    pub fn remove(&self, names: &[String]) -> Result<()> {
        self.place.remove(names)
    }
}

fn trimmed(location: &str) -> String {
    location.trim_end_matches('/').to_owned()
}

/// For what is there, and is not what it should be.
fn damaged(name: &str, location: &str) -> Error {
    Error::fail_job(format!("{name} in {location} is not what was stored there: it is damaged or another"))
}

/// Of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_a_directory_is_found_again_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        let storage = Storage::open(&format!("file://{}", place.display()), None).unwrap();
        assert_eq!(storage.get("a/b").unwrap(), None);
        let stored = storage.put("a/b", b"text".to_vec()).unwrap();
        assert_eq!(storage.get("a/b").unwrap().as_deref(), Some(&b"text"[..]));
        assert_eq!((stored.bytes, storage.size("a/b").unwrap()), (4, Some(4)));

        let (source, copy) = (directory.path().join("source"), directory.path().join("copy"));
        let content: Vec<u8> = (0..(9u32 << 20)).map(|n| (n % 251) as u8).collect();
        std::fs::write(&source, &content).unwrap();
        let stored = storage.put_file("file", &source, &|| true).unwrap();
        storage.get_file("file", &stored, &copy).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), content);

        let mut damaged = content.clone();
        damaged[12345] ^= 1;
        storage.put("file", damaged).unwrap();
        let error = storage.get_file("file", &stored, &copy).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        storage.delete("file").unwrap();
        storage.delete("file").unwrap();
        assert_eq!(storage.size("file").unwrap(), None);

        let given_up = storage.put_file("file", &source, &|| false).unwrap_err();
        assert!(given_up.to_string().contains("nobody wanted it"), "{given_up}");
        assert_eq!(storage.size("file").unwrap(), None);
    }

    #[test]
    fn a_directory_is_removed_with_what_it_had_and_not_with_more() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        let storage = Storage::open(&place.display().to_string(), None).unwrap();
        let names = ["manifest", "one/file", "two/deep/file"].map(str::to_owned);
        names.iter().for_each(|name| drop(storage.put(name, b"text".to_vec()).unwrap()));
        assert_eq!(storage.names().unwrap(), names);
        std::fs::write(place.join("two/mine"), "not theirs").unwrap();
        storage.remove(&names).unwrap();
        let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["two"]);
        std::fs::remove_file(place.join("two/mine")).unwrap();
        storage.remove(&names).unwrap();
        assert!(!place.exists());
    }

    #[test]
    fn a_location_of_another_kind_says_what_there_is() {
        for location in ["", "gs://bucket/x", "s3://"] {
            let error = Storage::open(location, None).err().expect("no place");
            assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
        }
        let error = Storage::open("kafka:topic", None).err().expect("no Kafka");
        assert!(error.to_string().contains("which Kafka"), "{error}");
    }
}
