//! A topic of one partition as a place: each object in chunks, one record each. A record's key says which part of which
//! object it is; its value is the chunk as it is. An object is there when all of its chunks are, so one of which the
//! writing ended halfway is none. A record without a chunk says that an object is gone.
//!
//! Chunks are written in transactions, since that is the producer that there is; what makes an object whole is not a
//! transaction but its chunks.

use super::{GIVEN_UP, Place, Stored, damaged, hex, sha256};
use crate::batch::SourceRecords;
use crate::env::SystemClock;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::job::Kafka;
use crate::kafka::admin::{AdminClient, KEPT_FOR_EVER, retrying};
use crate::kafka::consumer::ConsumerSettings;
use crate::kafka::producer::ProducerSettings;
use crate::kafka::role::Role;
use crate::kafka::{
    ClientOptions, CommitOutcome, FetchQueue, Fetched, OutgoingRecord, PartitionConsumer, ProducerTopic,
    TransactionalProducer,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Raised when a reader of the old form would misread the new one.
const FORMAT: u32 = 1;
/// Well below Kafka's default limit of 1 MB for a record.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks of a transaction.
const TRANSACTION_CHUNKS: usize = 32;
/// Records that wait for the broker, or have been fetched ahead.
const QUEUED_BYTES: usize = 16 << 20;
/// How long Kafka may be out of reach.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many records before the end a small object is first looked for.
const LAST_RECORDS: i64 = 16;

pub(super) struct Topic {
    cluster: ClientOptions,
    replication: i32,
    topic: String,
    location: String,
    writer: Mutex<Option<Writer>>,
    /// What is there, once somebody has wanted to know.
    index: Mutex<Option<Arc<Index>>>,
}

/// The key of a record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    format: u32,
    name: String,
    /// None: the object is gone.
    chunk: Option<Chunk>,
}

/// Which part of an object a value is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    /// Of the whole object.
    bytes: u64,
    object_sha256: String,
    /// Where in the object the chunk begins.
    at: u64,
    /// Of the chunk.
    sha256: String,
}

/// Objects by name, as the topic has them.
type Index = BTreeMap<String, Object>;

/// What there is of an object.
struct Object {
    stored: Stored,
    /// By where they begin: length and the record's offset.
    chunks: BTreeMap<u64, (u64, i64)>,
}

impl Object {
    /// Chunks of the same object that were written twice are the same; the first stays.
    fn add(objects: &mut Index, label: Label, length: u64, offset: i64) {
        let Label { name, chunk, .. } = label;
        let Some(Chunk { bytes, object_sha256: sha256, at, .. }) = chunk else {
            objects.remove(&name);
            return;
        };
        let stored = Stored { bytes, sha256 };
        let object = objects.entry(name).or_insert_with(|| Self::new(&stored));
        if object.stored != stored {
            *object = Self::new(&stored);
        }
        object.chunks.entry(at).or_insert((length, offset));
    }

    fn new(stored: &Stored) -> Self {
        Self { stored: stored.clone(), chunks: BTreeMap::new() }
    }

    fn is_whole(&self) -> bool {
        let covered =
            self.chunks.iter().try_fold(0, |covered, (at, (length, _))| (*at == covered).then(|| at + length));
        covered == Some(self.stored.bytes)
    }
}

impl Topic {
    /// The topic is made when something is written to it.
    pub(super) fn open(topic: &str, location: &str, kafka: Option<&Kafka>) -> Result<Self> {
        if topic.is_empty() {
            return Err(Error::user_fault(format!("{location} names no topic: kafka:TOPIC")));
        }
        let kafka =
            kafka.ok_or_else(|| Error::user_fault(format!("{location} is a topic: say on which Kafka it is")))?;
        Ok(Self {
            cluster: ClientOptions::of_job(kafka),
            replication: kafka.replication,
            topic: topic.to_owned(),
            location: location.to_owned(),
            writer: Mutex::default(),
            index: Mutex::default(),
        })
    }

    /// For reading: the topic is not made.
    pub(super) fn find(topic: &str, location: &str, kafka: Option<&Kafka>) -> Result<Option<Self>> {
        let place = Self::open(topic, location, kafka)?;
        let admin = AdminClient::new(&place.cluster)?;
        let found = retrying(PATIENCE, SystemClock::shared().as_ref(), || admin.describe(topic))?;
        match found.map(|found| found.partitions.len()) {
            Some(1) => Ok(Some(place)),
            None => Ok(None),
            Some(partitions) => Err(Error::user_fault(format!(
                "the topic {topic} has {partitions} partitions, and what is stored in a topic is in one: name another"
            ))),
        }
    }

    fn index(&self) -> Result<Arc<Index>> {
        let mut known = lock(&self.index);
        if let Some(index) = known.as_ref() {
            return Ok(index.clone());
        }
        let mut index = Index::new();
        let reader = TopicReader::open(self)?;
        reader.read(reader.range.0, &mut |offset, label, chunk| {
            Object::add(&mut index, label, chunk.len() as u64, offset);
            Ok(true)
        })?;
        Ok(known.insert(Arc::new(index)).clone())
    }

    /// Writes an object from where `source` is, chunk by chunk.
    fn write(&self, name: &str, stored: &Stored, source: &mut dyn Read, wanted: &dyn Fn() -> bool) -> Result<()> {
        *lock(&self.index) = None;
        let mut writer = Writing::begin(self)?;
        let (mut at, mut chunk) = (0, Vec::with_capacity(CHUNK_BYTES));
        loop {
            if !wanted() {
                // An open transaction would keep readers from what others write.
                writer.commit()?;
                return Err(Error::retry(GIVEN_UP));
            }
            chunk.clear();
            let read = Read::take(&mut *source, CHUNK_BYTES as u64).read_to_end(&mut chunk);
            read.or_kind(ErrorKind::RestartWorker, format!("reading {name}"))?;
            let Stored { bytes, sha256: object_sha256 } = stored.clone();
            writer.put(name, Some((Chunk { bytes, object_sha256, at, sha256: sha256(&chunk) }, &chunk)))?;
            at += chunk.len() as u64;
            // An object of no bytes has one chunk of none.
            if at >= bytes || chunk.is_empty() {
                break;
            }
        }
        writer.commit()
    }
}

impl Place for Topic {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Stored> {
        let stored = Stored { bytes: bytes.len() as u64, sha256: sha256(&bytes) };
        self.write(name, &stored, &mut bytes.as_slice(), &|| true)?;
        Ok(stored)
    }

    fn put_file(&self, name: &str, file: &Path, wanted: &dyn Fn() -> bool) -> Result<Stored> {
        let reading = || format!("reading {}", file.display());
        let mut source = File::open(file).or_kind(ErrorKind::RestartWorker, reading())?;
        let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
        loop {
            let read = source.read(&mut part).or_kind(ErrorKind::RestartWorker, reading())?;
            if read == 0 {
                break;
            }
            hash.update(&part[..read]);
            bytes += read as u64;
        }
        source.rewind().or_kind(ErrorKind::RestartWorker, reading())?;
        let stored = Stored { bytes, sha256: hex(&hash.finalize()) };
        self.write(name, &stored, &mut source, wanted)?;
        Ok(stored)
    }

    /// Looks for it from the end on: what is small and looked for by its name was usually written last.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let reader = TopicReader::open(self)?;
        let (start, end) = reader.range;
        let mut records = LAST_RECORDS;
        loop {
            let from = (end - records).max(start);
            let (mut found, mut parts) = (Index::new(), BTreeMap::new());
            reader.read(from, &mut |offset, label, chunk| {
                if label.name == name {
                    Object::add(&mut found, label, chunk.len() as u64, offset);
                    parts.insert(offset, chunk.to_vec());
                }
                Ok(true)
            })?;
            match found.remove(name).filter(Object::is_whole) {
                Some(object) => {
                    let offsets = object.chunks.values().map(|(_, offset)| offset);
                    let bytes = offsets.flat_map(|offset| &parts[offset]).copied().collect::<Vec<u8>>();
                    let intact = sha256(&bytes) == object.stored.sha256;
                    return if intact { Ok(Some(bytes)) } else { Err(damaged(name, &self.location)) };
                }
                None if from == start => return Ok(None),
                None => records *= 8,
            }
        }
    }

    fn get_file(&self, name: &str, expected: &Stored, file: &Path) -> Result<()> {
        let index = self.index()?;
        let object = index.get(name).filter(|object| object.stored == *expected && object.is_whole());
        let object = object.ok_or_else(|| damaged(name, &self.location))?;
        let writing = || format!("writing {}", file.display());
        let mut target = File::create(file).or_kind(ErrorKind::RestartWorker, writing())?;
        let mut hash = Sha256::new();
        let mut missing: Vec<i64> = object.chunks.values().rev().map(|(_, offset)| *offset).collect();
        let first = *missing.last().expect("a whole object has a chunk");
        // Whoever wrote the object wrote its chunks in their order; those of others may stand between.
        TopicReader::open(self)?.read(first, &mut |offset, _, chunk| {
            if missing.last() == Some(&offset) {
                missing.pop();
                hash.update(chunk);
                target.write_all(chunk).or_kind(ErrorKind::RestartWorker, writing())?;
            }
            Ok(!missing.is_empty())
        })?;
        let intact = missing.is_empty() && hex(&hash.finalize()) == expected.sha256;
        if intact { Ok(()) } else { Err(damaged(name, &self.location)) }
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.index()?.get(name).filter(|object| object.is_whole()).map(|object| object.stored.bytes))
    }

    fn delete(&self, name: &str) -> Result<()> {
        *lock(&self.index) = None;
        let mut writer = Writing::begin(self)?;
        writer.put(name, None)?;
        writer.commit()
    }

    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        let index = self.index()?;
        let within = |name: &str| match folder {
            "" => Some(name.to_owned()),
            folder => name.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned),
        };
        let whole = index.iter().filter(|(_, object)| object.is_whole());
        let found = whole.filter_map(|(name, object)| Some((within(name)?, object.stored.bytes)));
        Ok(found.filter(|(name, _)| !name.contains('/')).collect())
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(self.index()?.keys().cloned().collect())
    }

    fn remove(&self, _: &[String]) -> Result<()> {
        let admin = AdminClient::new(&self.cluster)?;
        let topics = [self.topic.clone()];
        retrying(PATIENCE, SystemClock::shared().as_ref(), || admin.delete(&topics))
    }
}

/// A producer of a topic.
struct Writer {
    producer: Arc<TransactionalProducer>,
    topic: ProducerTopic,
}

impl Writer {
    /// Makes the topic, where it is not there yet.
    fn open(place: &Topic) -> Result<Self> {
        let (clock, topic) = (SystemClock::shared(), &place.topic);
        let admin = AdminClient::new(&place.cluster)?;
        let describe = || admin.describe(topic);
        if retrying(PATIENCE, clock.as_ref(), describe)?.is_none() {
            let create = || admin.create(topic, 1, place.replication, &KEPT_FOR_EVER);
            retrying(PATIENCE, clock.as_ref(), create)?;
            let ready = || describe()?.ok_or_else(|| Error::retry(format!("topic {topic} is not there yet")));
            retrying(PATIENCE, clock.as_ref(), ready)?;
        }
        // Nobody else is to be fenced by it, nor it by anybody.
        let id = format!("{topic}.{}", uuid::Uuid::new_v4());
        let settings = ProducerSettings { queued_bytes: QUEUED_BYTES, ..ProducerSettings::for_fencing(PATIENCE) };
        let producer = TransactionalProducer::new(&place.cluster, &id, &settings)?;
        retrying(PATIENCE, clock.as_ref(), || producer.init_transactions(PATIENCE))?;
        let topic = producer.topic(topic)?;
        Ok(Self { producer, topic })
    }
}

/// Records on their way into a topic, transaction by transaction. Dropped early it leaves what was not committed to be
/// aborted.
struct Writing<'a> {
    place: &'a Topic,
    writer: Writer,
    chunks: usize,
}

impl<'a> Writing<'a> {
    fn begin(place: &'a Topic) -> Result<Self> {
        let known = lock(&place.writer).take();
        let writer = known.map_or_else(|| Writer::open(place), Ok)?;
        writer.producer.begin()?;
        Ok(Self { place, writer, chunks: 0 })
    }

    fn put(&mut self, name: &str, chunk: Option<(Chunk, &[u8])>) -> Result<()> {
        if self.chunks == TRANSACTION_CHUNKS {
            self.end_transaction()?;
            self.writer.producer.begin()?;
        }
        let (chunk, payload) = chunk.unzip();
        let label = Label { format: FORMAT, name: name.to_owned(), chunk };
        let key = serde_json::to_vec(&label).expect("plain data always serialises");
        let record = OutgoingRecord { key: Some(&key), payload };
        self.writer.topic.produce(Some(0), std::iter::once(record), &mut Default::default())?;
        self.chunks += 1;
        Ok(())
    }

    fn end_transaction(&mut self) -> Result<()> {
        self.chunks = 0;
        match self.writer.producer.commit(PATIENCE) {
            CommitOutcome::Clean => Ok(()),
            CommitOutcome::Retried => {
                // It is committed; another producer goes on.
                self.writer = Writer::open(self.place)?;
                Ok(())
            }
            CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => {
                Err(error.context(format!("writing to {}", self.place.topic)))
            }
        }
    }

    fn commit(mut self) -> Result<()> {
        self.end_transaction()?;
        *lock(&self.place.writer) = Some(self.writer);
        Ok(())
    }
}

/// Reads what is committed in a topic.
struct TopicReader<'a> {
    place: &'a Topic,
    /// The offsets that there were when it was opened.
    range: (i64, i64),
}

/// Takes offset, label and chunk; says whether there is to be more.
type VisitChunk<'v> = dyn FnMut(i64, Label, &[u8]) -> Result<bool> + 'v;

impl<'a> TopicReader<'a> {
    fn open(place: &'a Topic) -> Result<Self> {
        let consumer = Self::consumer(place)?;
        let ask = || consumer.watermarks(&place.topic, 0);
        let range = retrying(PATIENCE, SystemClock::shared().as_ref(), ask)?;
        Ok(Self { place, range })
    }

    fn consumer(place: &Topic) -> Result<Arc<PartitionConsumer>> {
        let settings = ConsumerSettings {
            role: Role::Savepoint,
            group_id: format!("{}.reader", place.topic),
            isolation_level: "read_committed".to_owned(),
            queued_bytes: QUEUED_BYTES,
        };
        PartitionConsumer::new(&place.cluster, &settings)
    }

    /// Visits all chunks from an offset on, up to where the topic ended when this was opened.
    fn read(&self, from: i64, visit: &mut VisitChunk<'_>) -> Result<()> {
        const WAIT: Duration = Duration::from_millis(100);
        let consumer = Self::consumer(self.place)?;
        let mut queue = FetchQueue::new(&consumer, 64);
        consumer.assign(&self.place.topic, 0, from, &queue)?;
        let (mut next, mut waited) = (from, Duration::ZERO);
        while next < self.range.1 {
            let mut fetched = Vec::new();
            queue.fetch(WAIT, &mut fetched)?;
            waited = if fetched.is_empty() { waited + WAIT } else { Duration::ZERO };
            if waited > PATIENCE {
                let (topic, servers) = (&self.place.topic, &self.place.cluster.bootstrap_servers);
                return Err(Error::retry(format!("{topic} could not be read: Kafka at {servers} does not answer")));
            }
            for item in fetched {
                match item {
                    Fetched::EndOfPartition { next: end, .. } => next = end,
                    Fetched::Records(records) => {
                        for index in 0..records.len() {
                            let offset = records.offset(index);
                            let chunk = records.payload(index).unwrap_or_default();
                            let label = self.label(records.key(index).unwrap_or_default(), chunk, offset)?;
                            if !visit(offset, label, chunk)? {
                                return Ok(());
                            }
                            next = offset + 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What a record is, if it is intact.
    fn label(&self, key: &[u8], value: &[u8], offset: i64) -> Result<Label> {
        let foreign = |why: String| {
            let topic = &self.place.topic;
            Error::user_fault(format!("{topic} holds something else than a savepoint (offset {offset}: {why})"))
        };
        let label: Label = serde_json::from_slice(key).map_err(|error| foreign(error.to_string()))?;
        if label.format != FORMAT {
            let why = format!("its format is {}, this version of Millrace reads {FORMAT}", label.format);
            return Err(foreign(format!("{why}: use the version that wrote it")));
        }
        match &label.chunk {
            Some(chunk) if chunk.sha256 != sha256(value) => {
                Err(damaged(&label.name, &format!("{} (offset {offset})", self.place.location)))
            }
            _ => Ok(label),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
