//! A model of a store that all workers see: files by name, and the manifests that make savepoints of them. What is
//! put there is there for everybody at once.

use millrace_protocol::savepoint::{FilePart, TaskPart, check};
use std::collections::BTreeMap;
use std::rc::Rc;

pub type SavepointId = u64;

/// What a savepoint consists of.
#[derive(Debug)]
pub struct Manifest {
    pub savepoint: SavepointId,
    /// The number of the job that it is of.
    pub job: u32,
    pub tasks: Vec<TaskPart>,
}

#[derive(Default)]
pub struct Storage {
    files: BTreeMap<String, Rc<[u8]>>,
    manifests: BTreeMap<SavepointId, Rc<Manifest>>,
}

/// Tells files of different contents apart.
fn digest(bytes: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    format!("{:016x}", bytes.iter().fold(0xCBF2_9CE4_8422_2325, mix))
}

impl Storage {
    /// Puts a file of a table with so many rows there, in place of one with this name.
    pub fn put(&mut self, path: String, table: u8, rows: u64, bytes: Vec<u8>) -> FilePart {
        let part = FilePart {
            operator: 0,
            table,
            path: path.clone(),
            rows,
            bytes: bytes.len() as u64,
            sha256: digest(&bytes),
        };
        self.files.insert(path, bytes.into());
        part
    }

    /// The contents of a file, if they are what was written.
    pub fn get(&self, part: &FilePart) -> Option<Rc<[u8]>> {
        self.files.get(&part.path).filter(|bytes| digest(bytes) == part.sha256).cloned()
    }

    /// Makes a savepoint of files, as the runtime does: what it names has to be there, and belong together.
    pub fn publish(&mut self, manifest: Manifest) -> Result<(), String> {
        let cuts: Vec<_> = manifest.tasks.iter().map(|part| &part.cut).collect();
        check(cuts.len() as u32, &cuts).map_err(|why| format!("no consistent savepoint: {why:?}"))?;
        let there = |file: &&FilePart| self.files.get(&file.path).is_some_and(|f| f.len() as u64 == file.bytes);
        if let Some(missing) = manifest.tasks.iter().flat_map(|task| &task.files).find(|file| !there(file)) {
            return Err(format!("{} is not there", missing.path));
        }
        self.manifests.insert(manifest.savepoint, Rc::new(manifest));
        Ok(())
    }

    pub fn manifest(&self, savepoint: SavepointId) -> Option<Rc<Manifest>> {
        self.manifests.get(&savepoint).cloned()
    }

    /// The savepoints that there are.
    pub fn savepoints(&self) -> Vec<SavepointId> {
        self.manifests.keys().copied().collect()
    }
}
