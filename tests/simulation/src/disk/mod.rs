//! A model of a worker's volume: for each task a store of keys with the log offset up to which they hold.
//! Writes are atomic and ordered, and lost at a power cut from some point on unless they were synced; that
//! is what RocksDB without a log of its own promises. A volume may also be an old one, somebody else's, or damaged:
//! then checksums say so when it is opened, or not before its entries are read.

use crate::random::Random;
use crate::storage::SavepointId;
use millrace_protocol::replay::Applied;
use std::collections::BTreeMap;

/// Kind of state, then what it is about: `(kind, a, b)`.
pub type Key = (u8, u32, i64);
pub type Value = (i64, i64);
/// What a write does to a key: None deletes it.
pub type Change = (Key, Option<Value>);

/// Whose state it is; a store that names another is not to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub job: u32,
    pub incarnation: u32,
    pub task: u32,
}

#[derive(Clone, Debug)]
struct Write {
    changes: Vec<Change>,
    applied: Option<Applied>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    entries: BTreeMap<Key, Value>,
    applied: Option<Applied>,
}

/// When one notices that a store is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// When it is opened, because it can't be or is marked.
    Evident,
    /// When its entries are read.
    Hidden,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub identity: Identity,
    synced: Contents,
    unsynced: Vec<Write>,
    /// The savepoint that is in it whole.
    base: Option<SavepointId>,
    damage: Option<Damage>,
}

/// One pod's volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Who works here, as the runtime keeps it in a file.
    pub holder: String,
    stores: BTreeMap<u32, Store>,
    /// Stores that are being filled, beside those that they will replace.
    filling: BTreeMap<u32, Store>,
}

impl Contents {
    fn put(&mut self, write: &Write) {
        for (key, value) in &write.changes {
            match value {
                Some(value) => self.entries.insert(*key, *value),
                None => self.entries.remove(key),
            };
        }
        if let Some(applied) = &write.applied {
            self.applied = Some(applied.clone());
        }
    }
}

impl Store {
    pub fn new(identity: Identity) -> Self {
        Self { identity, synced: Contents::default(), unsynced: Vec::new(), base: None, damage: None }
    }

    /// Whether it can't be opened, or is marked as damaged.
    pub fn is_damaged(&self) -> bool {
        self.damage == Some(Damage::Evident)
    }

    /// Marks it as damaged.
    pub fn mark(&mut self) {
        self.damage = Some(Damage::Evident);
    }

    /// Its entries, if their checksums are right.
    pub fn read(&self) -> Option<BTreeMap<Key, Value>> {
        if self.damage.is_some() { None } else { Some(self.entries()) }
    }

    fn now(&self) -> Contents {
        let mut contents = self.synced.clone();
        self.unsynced.iter().for_each(|write| contents.put(write));
        contents
    }

    pub fn entries(&self) -> BTreeMap<Key, Value> {
        self.now().entries
    }

    pub fn applied(&self) -> Option<&Applied> {
        self.unsynced.iter().rev().find_map(|write| write.applied.as_ref()).or(self.synced.applied.as_ref())
    }

    /// One atomic write, not yet durable.
    pub fn write(&mut self, changes: Vec<Change>, applied: Option<Applied>) {
        self.unsynced.push(Write { changes, applied });
    }

    /// Everything of a savepoint has been written, and is durable.
    pub fn loaded(&mut self, savepoint: SavepointId) {
        self.sync();
        self.base = Some(savepoint);
    }

    pub fn base(&self) -> Option<SavepointId> {
        self.base
    }

    fn has_state(&self) -> bool {
        self.base.is_some() || self.applied().is_some()
    }

    pub fn sync(&mut self) {
        let writes = std::mem::take(&mut self.unsynced);
        writes.iter().for_each(|write| self.synced.put(write));
    }

    fn offset(&self) -> i64 {
        self.applied().map_or(0, |applied| applied.log_offset)
    }
}

impl Volume {
    pub fn new(holder: String) -> Self {
        Self { holder, stores: BTreeMap::new(), filling: BTreeMap::new() }
    }

    pub fn store(&mut self, task: u32) -> Option<&mut Store> {
        self.stores.get_mut(&task)
    }

    pub fn put_store(&mut self, task: u32, store: Store) {
        self.stores.insert(task, store);
    }

    /// Begins to fill a store beside the one that is there.
    pub fn fill(&mut self, task: u32, store: Store) {
        self.filling.insert(task, store);
    }

    pub fn filling(&mut self, task: u32) -> Option<&mut Store> {
        self.filling.get_mut(&task)
    }

    /// A store that was filled, and is synced, takes its place.
    pub fn filled(&mut self, task: u32) {
        if let Some(store) = self.filling.remove(&task) {
            self.stores.insert(task, store);
        }
    }

    /// Removes what was not filled to its end.
    pub fn stop_filling(&mut self) {
        self.filling.clear();
    }

    pub fn is_empty(&self) -> bool {
        !self.stores.values().any(Store::has_state)
    }

    pub fn has_unsynced(&self) -> bool {
        self.stores.values().chain(self.filling.values()).any(|store| !store.unsynced.is_empty())
    }

    /// Power is cut: of each store a prefix of the unsynced writes survives, and somewhere not all of them.
    pub fn lose_unsynced(&mut self, random: &mut Random) {
        let mut all_survive = true;
        let stores = self.stores.values_mut().chain(self.filling.values_mut());
        for store in stores.filter(|store| !store.unsynced.is_empty()) {
            let written = store.unsynced.len() as u64;
            let survive = if all_survive { random.below(written) } else { random.between(0, written) };
            all_survive = false;
            store.unsynced.truncate(survive as usize);
            store.sync();
        }
    }

    /// A process dies and the machine goes on: what it wrote gets to the disk.
    pub fn settle(&mut self) {
        self.stores.values_mut().for_each(Store::sync);
    }

    /// Whether some task's state here is further than there.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        self.stores.iter().any(|(task, store)| store.offset() > other.stores.get(task).map_or(0, Store::offset))
    }

    /// Damages the state of some task, and returns whether there was one.
    pub fn damage(&mut self, random: &mut Random) -> bool {
        let mut stores: Vec<&mut Store> = self.stores.values_mut().filter(|s| s.has_state()).collect();
        if stores.is_empty() {
            return false;
        }
        let at = random.below(stores.len() as u64) as usize;
        let store = &mut stores[at];
        store.damage = Some(if random.one_in(2) { Damage::Evident } else { Damage::Hidden });
        store.synced.entries.values_mut().for_each(|value| value.0 ^= 1);
        true
    }

    /// Makes it somebody else's: another job's, an earlier incarnation's, or with the tasks mixed up.
    /// Returns whether there was anything to mistake.
    pub fn estrange(&mut self, random: &mut Random) -> bool {
        let kind = random.below(3);
        for store in self.stores.values_mut() {
            match kind {
                0 => store.identity.job += 1,
                1 => store.identity.incarnation = 0,
                _ => {}
            }
        }
        if kind == 2 {
            let tasks: Vec<u32> = self.stores.keys().copied().collect();
            let mut stores: Vec<Store> = std::mem::take(&mut self.stores).into_values().collect();
            stores.rotate_left(1);
            self.stores = tasks.into_iter().zip(stores).collect();
            return self.stores.iter().any(|(task, store)| store.identity.task != *task && store.has_state());
        }
        !self.is_empty()
    }
}
