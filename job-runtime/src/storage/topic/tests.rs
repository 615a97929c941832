//! A topic as a place, on a broker in this process.

use super::*;
use crate::kafka::tests::Cluster;
use crate::storage::Storage;

impl Cluster {
    fn open(&self, location: &str) -> Storage {
        Storage::open(location, Some(&self.kafka)).unwrap()
    }

    fn existing(&self, location: &str) -> Result<Storage> {
        Storage::existing(location, Some(&self.kafka))
    }

    /// A file of so many bytes.
    fn file(&self, name: &str, bytes: usize) -> (std::path::PathBuf, Vec<u8>) {
        let content: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let path = self.directory.path().join(name);
        std::fs::write(&path, &content).unwrap();
        (path, content)
    }
}

#[test]
fn what_is_stored_in_a_topic_is_found_again_until_the_topic_is_removed() {
    let kafkas = Cluster::start();
    let missing = kafkas.existing("kafka:job.sp.one").err().expect("no topic yet");
    assert_eq!(missing.kind, ErrorKind::UserFault);
    assert!(missing.to_string().contains("there is no topic job.sp.one"), "{missing}");

    let writer = kafkas.open("kafka:job.sp.one");
    let files =
        [("folder/none", 0), ("folder/small", 7), ("folder/exact", CHUNK_BYTES), ("large", 3 * CHUNK_BYTES + 1)];
    let stored = files.map(|(name, bytes)| {
        let (path, content) = kafkas.file("source", bytes);
        (name, writer.put_file(name, &path, &|| true).unwrap(), content)
    });
    writer.put("manifest", b"all of it".to_vec()).unwrap();
    assert_eq!(kafkas.admin.config("job.sp.one").unwrap()["retention.ms"], "-1");

    let reader = kafkas.existing("kafka:job.sp.one").unwrap();
    assert_eq!(reader.get("manifest").unwrap().as_deref(), Some(&b"all of it"[..]));
    assert_eq!(reader.get("nothing").unwrap(), None);
    let copy = kafkas.directory.path().join("copy");
    for (name, stored, content) in &stored {
        assert_eq!(reader.size(name).unwrap(), Some(content.len() as u64), "{name}");
        reader.get_file(name, stored, &copy).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), *content, "{name}");
        assert_eq!(reader.get(name).unwrap().as_ref(), Some(content), "{name}");
    }
    let listed = reader.list("folder").unwrap();
    let sizes = [("exact", CHUNK_BYTES as u64), ("none", 0), ("small", 7)];
    assert_eq!(listed, sizes.map(|(name, bytes)| (name.to_owned(), bytes)).into());
    assert_eq!(reader.list("").unwrap().into_keys().collect::<Vec<_>>(), ["large", "manifest"]);

    writer.delete("manifest").unwrap();
    writer.delete("manifest").unwrap();
    assert_eq!((writer.get("manifest").unwrap(), writer.size("manifest").unwrap()), (None, None));
    writer.remove(&[]).unwrap();
    assert!(kafkas.existing("kafka:job.sp.one").is_err());
}

#[test]
fn an_object_of_which_the_writing_ended_halfway_is_none() {
    let kafkas = Cluster::start();
    let writer = kafkas.open("kafka:torn");
    let (path, content) = kafkas.file("source", (TRANSACTION_CHUNKS + 3) * CHUNK_BYTES);
    let chunks = std::cell::Cell::new(0);
    // One transaction is committed by then.
    let wanted = || chunks.replace(chunks.get() + 1) < TRANSACTION_CHUNKS + 1;
    let given_up = writer.put_file("file", &path, &wanted).unwrap_err();
    assert!(given_up.to_string().contains("nobody wanted it"), "{given_up}");
    let expected = Stored { bytes: content.len() as u64, sha256: sha256(&content) };
    let copy = kafkas.directory.path().join("copy");
    let refused = kafkas.existing("kafka:torn").unwrap().get_file("file", &expected, &copy).unwrap_err();
    assert!(refused.to_string().contains("file in kafka:torn is not what was stored there"), "{refused}");
    assert_eq!((writer.size("file").unwrap(), writer.get("file").unwrap()), (None, None));

    assert_eq!(kafkas.open("kafka:torn").put_file("file", &path, &|| true).unwrap(), expected);
    kafkas.existing("kafka:torn").unwrap().get_file("file", &expected, &copy).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), content);
}

#[test]
fn workers_that_write_at_once_do_not_get_into_each_others_way() {
    let kafkas = Cluster::start();
    let (path, content) = kafkas.file("source", 5 * CHUNK_BYTES + 5);
    let names = ["task-0/a", "task-1/b", "task-2/c"];
    std::thread::scope(|scope| {
        for name in names {
            let (kafkas, path) = (&kafkas, &path);
            scope.spawn(move || kafkas.open("kafka:many").put_file(name, path, &|| true).unwrap());
        }
    });
    let expected = Stored { bytes: content.len() as u64, sha256: sha256(&content) };
    let reader = kafkas.existing("kafka:many").unwrap();
    let copy = kafkas.directory.path().join("copy");
    for name in names {
        reader.get_file(name, &expected, &copy).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), content, "{name}");
    }
}

#[test]
fn what_is_gone_damaged_or_of_somebody_else_is_refused() {
    let kafkas = Cluster::start();
    let writer = kafkas.open("kafka:cut");
    let (path, _) = kafkas.file("source", 2 * CHUNK_BYTES);
    let stored = writer.put_file("file", &path, &|| true).unwrap();
    writer.put("manifest", b"{}".to_vec()).unwrap();
    kafkas.admin.delete_records(&[("cut".to_owned(), 0, 1)]).unwrap();
    let reader = kafkas.existing("kafka:cut").unwrap();
    assert_eq!(reader.size("file").unwrap(), None);
    let refused = reader.get_file("file", &stored, &kafkas.directory.path().join("copy")).unwrap_err();
    assert!(refused.to_string().contains("is not what was stored there"), "{refused}");

    let write = |topic: &str, label: &Label, value: &[u8]| {
        let place = Topic::open(topic, topic, Some(&kafkas.kafka)).unwrap();
        let writing = Writing::begin(&place).unwrap();
        let key = serde_json::to_vec(label).unwrap();
        let record = OutgoingRecord { key: Some(&key), payload: Some(value) };
        writing.writer.topic.produce(Some(0), std::iter::once(record), &mut Default::default()).unwrap();
        writing.commit().unwrap();
    };
    let chunk = Chunk { bytes: 4, object_sha256: sha256(b"text"), at: 0, sha256: sha256(b"text") };
    let label = |format| Label { format, name: "manifest".to_owned(), chunk: Some(chunk.clone()) };
    write("later", &label(FORMAT + 1), b"text");
    write("damaged", &label(FORMAT), b"test");
    for (topic, expected) in
        [("later", "use the version that wrote it"), ("damaged", "(offset 0) is not what was stored")]
    {
        let refused = kafkas.existing(&format!("kafka:{topic}")).unwrap().get("manifest").unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    kafkas.admin.create("wide", 2, 1, &[]).unwrap();
    let refused = kafkas.existing("kafka:wide").err().expect("it is no place");
    assert!(refused.to_string().contains("has 2 partitions"), "{refused}");
}
