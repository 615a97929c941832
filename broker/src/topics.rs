//! The topics of this broker and their partitions, in memory and on disk.
//!
//! The journal says which topics there are; a directory without a topic is a deletion that was cut
//! short, and goes at the next start.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use kafka_protocol::error::ResponseError;
use thiserror::Error;
use uuid::Uuid;

use crate::data_dir::DataDir;
use crate::image::{Record, TopicImage};
use crate::journal::Journal;
use crate::log::Partition;
use crate::topic_configs::{self, TopicConfigs, TopicDefaults};

/// Longest topic name that Kafka allows.
const MAX_NAME_LEN: usize = 249;
/// A laptop's file handles are finite: more partitions than this are a mistake in a test.
const MAX_PARTITIONS: i32 = 10_000;

/// Why a topic cannot be made or changed.
#[derive(Debug, Error)]
pub(crate) enum TopicError {
    #[error("{message}")]
    Refused { error: ResponseError, message: String },
    #[error("the topic cannot be written: {0}")]
    Storage(#[from] io::Error),
}

impl TopicError {
    fn refused(error: ResponseError, message: impl Into<String>) -> Self {
        TopicError::Refused { error, message: message.into() }
    }

    /// The error code for the client.
    pub(crate) fn code(&self) -> i16 {
        match self {
            TopicError::Refused { error, .. } => error.code(),
            TopicError::Storage(_) => ResponseError::KafkaStorageError.code(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    configs: RwLock<Arc<TopicConfigs>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
}

impl Topic {
    pub(crate) fn configs(&self) -> Arc<TopicConfigs> {
        Arc::clone(&read(&self.configs))
    }

    pub(crate) fn partition_count(&self) -> i32 {
        read(&self.partitions).len() as i32
    }

    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        read(&self.partitions).get(usize::try_from(index).ok()?).cloned()
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        read(&self.partitions).clone()
    }
}

#[derive(Debug)]
pub(crate) struct Topics {
    dir: DataDir,
    journal: Arc<Journal>,
    defaults: TopicDefaults,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Topics {
    /// Opens every topic that the journal knows and removes what is left of deleted ones.
    pub(crate) fn open(dir: DataDir, journal: Arc<Journal>, defaults: TopicDefaults) -> io::Result<Self> {
        let images = journal.read(|image| image.topics.clone());
        let topics = Topics { dir, journal, defaults, by_name: RwLock::new(BTreeMap::new()) };
        topics.remove_leftovers(&images)?;
        for (name, image) in images {
            let topic = topics.open_topic(&name, &image)?;
            topics.insert(topic);
        }
        Ok(topics)
    }

    fn remove_leftovers(&self, images: &BTreeMap<String, TopicImage>) -> io::Result<()> {
        let root = self.dir.topics();
        std::fs::create_dir_all(&root)?;
        for named in std::fs::read_dir(&root)? {
            let named = named?.path();
            let name = named.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for incarnation in std::fs::read_dir(&named)? {
                let path = incarnation?.path();
                let id = path.file_name().and_then(|id| Uuid::parse_str(id.to_str()?).ok());
                let known = images.get(&name).map(|image| image.id);
                if id.is_some() && id != known {
                    std::fs::remove_dir_all(&path)?;
                }
            }
            if !images.contains_key(&name) {
                // Fails where something of the user's lies in it, which then stays.
                let _ = std::fs::remove_dir(&named);
            }
        }
        Ok(())
    }

    fn open_topic(&self, name: &str, image: &TopicImage) -> io::Result<Arc<Topic>> {
        let partitions: io::Result<Vec<_>> =
            (0..image.partitions).map(|index| self.open_partition(name, image.id, index)).collect();
        Ok(Arc::new(Topic {
            name: name.to_owned(),
            id: image.id,
            configs: RwLock::new(Arc::new(TopicConfigs::new(image.configs.clone(), &self.defaults))),
            partitions: RwLock::new(partitions?),
        }))
    }

    fn open_partition(&self, name: &str, id: Uuid, index: i32) -> io::Result<Arc<Partition>> {
        let start = self.journal.read(|image| image.log_starts.get(&(id, index)).copied());
        let dir = self.dir.topic(name, id).join(index.to_string());
        Ok(Arc::new(Partition::open(&dir, start.unwrap_or(0))?))
    }

    fn insert(&self, topic: Arc<Topic>) {
        write(&self.by_name).insert(topic.name.clone(), topic);
    }

    pub(crate) fn defaults(&self) -> &TopicDefaults {
        &self.defaults
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        read(&self.by_name).get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        read(&self.by_name).values().find(|topic| topic.id == id).cloned()
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.get(topic)?.partition(index)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        read(&self.by_name).values().cloned().collect()
    }

    /// Whether a topic could be made like this; nothing is made.
    pub(crate) fn check_new(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), TopicError> {
        check_name(name)?;
        if self.get(name).is_some() {
            return Err(TopicError::refused(
                ResponseError::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        check_partitions(partitions)?;
        topic_configs::check(configs).map_err(|message| TopicError::refused(ResponseError::InvalidConfig, message))
    }

    /// Makes a topic; it is durable when this returns.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, TopicError> {
        self.check_new(name, partitions, &configs)?;
        let image = TopicImage { id: Uuid::new_v4(), partitions, configs };
        let record =
            Record::TopicCreated { name: name.to_owned(), id: image.id, partitions, configs: image.configs.clone() };
        // Two clients may create it at once: the journal decides who did.
        let created = self.journal.append_if(|known| (!known.topics.contains_key(name)).then_some(record))?;
        if !created {
            return Err(TopicError::refused(
                ResponseError::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        self.journal.sync()?;
        let topic = self.open_topic(name, &image)?;
        self.insert(Arc::clone(&topic));
        Ok(topic)
    }

    /// Deletes a topic and its files. Fetches under way end on the files they hold open.
    pub(crate) fn delete(&self, topic: &Topic) -> Result<(), TopicError> {
        self.journal.append(Record::TopicDeleted { name: topic.name.clone() })?;
        self.journal.sync()?;
        write(&self.by_name).remove(&topic.name);
        std::fs::remove_dir_all(self.dir.topic(&topic.name, topic.id))?;
        let _ = std::fs::remove_dir(self.dir.topics().join(&topic.name));
        Ok(())
    }

    /// Raises a topic's partition count to `count`.
    pub(crate) fn add_partitions(&self, topic: &Topic, count: i32, validate_only: bool) -> Result<(), TopicError> {
        check_partitions(count)?;
        let mut partitions = write(&topic.partitions);
        let current = partitions.len() as i32;
        if count <= current {
            return Err(TopicError::refused(
                ResponseError::InvalidPartitions,
                format!(
                    "The topic {} currently has {current} partition(s); {count} would not be an increase.",
                    topic.name
                ),
            ));
        }
        if validate_only {
            return Ok(());
        }
        self.journal.append(Record::PartitionsAdded { name: topic.name.clone(), partitions: count })?;
        self.journal.sync()?;
        for index in current..count {
            partitions.push(self.open_partition(&topic.name, topic.id, index)?);
        }
        Ok(())
    }

    /// Replaces what is set of a topic's configurations.
    pub(crate) fn set_configs(&self, topic: &Topic, configs: BTreeMap<String, String>) -> Result<(), TopicError> {
        topic_configs::check(&configs).map_err(|message| TopicError::refused(ResponseError::InvalidConfig, message))?;
        let record = Record::ConfigsAltered { name: topic.name.clone(), configs: configs.clone() };
        self.journal.append(record)?;
        self.journal.sync()?;
        *write(&topic.configs) = Arc::new(TopicConfigs::new(configs, &self.defaults));
        Ok(())
    }

    /// Moves the start of a partition's log up to `offset`; the journal knows it first.
    pub(crate) fn delete_records(&self, topic: &Topic, index: i32, offset: i64) -> io::Result<()> {
        let Some(partition) = topic.partition(index) else {
            return Ok(());
        };
        self.journal.append(Record::LogStart { topic: topic.id, partition: index, offset })?;
        self.journal.sync()?;
        partition.delete_before(offset)?;
        Ok(())
    }
}

fn check_partitions(count: i32) -> Result<(), TopicError> {
    if (1..=MAX_PARTITIONS).contains(&count) {
        return Ok(());
    }
    Err(TopicError::refused(
        ResponseError::InvalidPartitions,
        format!("Number of partitions must be between 1 and {MAX_PARTITIONS}."),
    ))
}

fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let message = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        "'.' or '..' is not allowed".to_owned()
    } else if name.len() > MAX_NAME_LEN {
        format!("the length is longer than the max allowed length {MAX_NAME_LEN}")
    } else if !name.chars().all(legal) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(TopicError::refused(ResponseError::InvalidTopicException, format!("Topic name is invalid: {message}")))
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect("no code panics while it changes topics")
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().expect("no code panics while it changes topics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        for name in ["", ".", "..", "a/b", "a\\b", "ä", "a b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name(&"x".repeat(MAX_NAME_LEN + 1)).is_err());
        assert!(check_name("user-events.v1_2").is_ok());
    }

    fn open(root: &std::path::Path) -> Topics {
        let dir = DataDir::open(root).expect("a data directory");
        let journal = Arc::new(Journal::open(&dir.journal()).expect("a journal"));
        Topics::open(dir, journal, TopicDefaults::default()).expect("topics open")
    }

    #[test]
    fn topics_partitions_and_configs_survive_a_restart_and_deleted_ones_do_not_come_back() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let topics = open(root.path());
        let kept = topics.create("kept", 2, BTreeMap::new()).expect("a new topic");
        topics.add_partitions(&kept, 3, false).expect("an increase");
        let configs = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        topics.set_configs(&kept, configs).expect("valid configs");
        let gone = topics.create("gone", 1, BTreeMap::new()).expect("a new topic");
        topics.delete(&gone).expect("deletable");
        let id = kept.id;
        drop((kept, gone, topics));

        let topics = open(root.path());
        let kept = topics.get("kept").expect("it is still there");
        assert_eq!((kept.id, kept.partition_count()), (id, 3));
        assert!(!kept.configs().deletes);
        assert!(topics.get("gone").is_none());
        assert!(!root.path().join("topics/gone").exists());
    }
}
