//! From canonical keys to dense group numbers: a hash table of numbers over one arena of key bytes, looked
//! up by the key's 64-bit hash, then its bytes. Groups number from 0 in the order they came and are never
//! removed one by one. Not here: what is kept for a group (`accumulator/`).

use crate::key::EncodedKeys;
use hashbrown::HashTable;

#[derive(Default)]
pub(crate) struct Interner {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// What is known of a group, side by side: a look-up touches one cache line of it.
struct Entry {
    hash: u64,
    start: usize,
    length: u32,
}

impl Entry {
    #[inline]
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.start + self.length as usize]
    }
}

impl Interner {
    /// The group of a key, and whether it is new.
    #[inline]
    pub(crate) fn intern(&mut self, key: &[u8], hash: u64) -> (u32, bool) {
        if let Some(group) = self.find(key, hash) {
            return (group, false);
        }
        let Self { table, entries, bytes } = self;
        let group = u32::try_from(entries.len()).expect("a table has fewer than 2^32 groups");
        let length = u32::try_from(key.len()).expect("a key is below 4 GiB");
        entries.push(Entry { hash, start: bytes.len(), length });
        bytes.extend_from_slice(key);
        table.insert_unique(hash, group, |&group| entries[group as usize].hash);
        (group, true)
    }

    /// The group of a key that was there before.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let equal = |&group: &u32| {
            let entry = &self.entries[group as usize];
            entry.hash == hash && entry.key(&self.bytes) == key
        };
        self.table.find(hash, equal).copied()
    }

    /// Puts the group of every key in `groups`.
    pub(crate) fn intern_all(&mut self, keys: &EncodedKeys, groups: &mut Vec<u32>) {
        groups.clear();
        groups.extend(keys.iter().map(|key| self.intern(key, crate::key::hash(key)).0));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn key(&self, group: u32) -> &[u8] {
        self.entries[group as usize].key(&self.bytes)
    }

    pub(crate) fn hash(&self, group: u32) -> u64 {
        self.entries[group as usize].hash
    }

    /// Forgets every group and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.entries.clear();
        self.bytes.clear();
    }

    /// Of its memory, what its groups take.
    pub(crate) fn used_bytes(&self) -> usize {
        self.entries.len() * (size_of::<Entry>() + 8) + self.bytes.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // A slot of the table is the number and a control byte.
        self.table.capacity() * 8 + self.entries.capacity() * size_of::<Entry>() + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::hash;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn groups_number_keys_in_the_order_they_first_came(keys in prop::collection::vec(prop::collection::vec(0u8..4, 0..4), 0..300)) {
            let mut interner = Interner::default();
            let mut oracle: HashMap<Vec<u8>, u32> = HashMap::new();
            for key in &keys {
                let next = oracle.len() as u32;
                let new = !oracle.contains_key(key);
                let expected = *oracle.entry(key.clone()).or_insert(next);
                prop_assert_eq!(interner.intern(key, hash(key)), (expected, new));
                prop_assert_eq!(interner.key(expected), key.as_slice());
            }
            prop_assert_eq!(interner.len(), oracle.len());
        }
    }

    #[test]
    fn keys_with_one_hash_are_told_apart_by_their_bytes() {
        let mut interner = Interner::default();
        assert_eq!(interner.intern(b"a", 7), (0, true));
        assert_eq!(interner.intern(b"b", 7), (1, true));
        assert_eq!(interner.intern(b"a", 7), (0, false));
    }
}
