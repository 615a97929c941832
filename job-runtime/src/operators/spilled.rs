//! What operators have in common that keep some of their state in the store only: the key groups of a window that it
//! is in, the order in which windows fire then, and when memory is given back.

use crate::error::Result;
use crate::key::KEY_GROUPS;
use crate::state::end_of_prefix;
use crate::state::spill::Spill;

/// Key groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyGroupSet([u64; KEY_GROUPS as usize / 64]);

impl KeyGroupSet {
    pub(super) fn insert(&mut self, group: u16) {
        self.0[usize::from(group) / 64] |= 1 << (group % 64);
    }

    pub(super) fn contains(&self, group: u16) -> bool {
        self.0[usize::from(group) / 64] & 1 << (group % 64) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&bits| bits == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        (0..KEY_GROUPS).filter(|&group| self.contains(group))
    }
}

/// Windows fire in the order of this, then of keys: key group by key group, since a state that is not in memory is read
/// so, and within one by hash, which is cheaper to sort than keys, and as stable.
pub(super) fn firing_rank(hash: u64) -> u64 {
    const _: () = assert!(KEY_GROUPS == 1 << 10, "the key group is the hash's lowest bits");
    hash.rotate_right(10)
}

/// State that was taken out of use in memory. It stays readable until the store has all of it.
pub(super) struct Frozen<T> {
    pub(super) state: T,
    /// The last commit that it has changes of.
    sequence: u64,
}

impl<T> Frozen<T> {
    /// Of state whose changes are all in the current snapshot.
    pub(super) fn new(state: T, spill: &Spill) -> Self {
        let sequence = spill.prepared();
        spill.want(sequence);
        Self { state, sequence }
    }

    pub(super) fn is_in_store(&self, spill: &Spill) -> bool {
        self.sequence <= spill.applied()
    }
}

/// About what an entry takes in memory, with all that is needed to find it there.
pub(super) fn memory_of_entry(key: &[u8], value: &[u8]) -> usize {
    const OVERHEAD: usize = 48;
    key.len() + value.len() + OVERHEAD
}

/// Calls `visit` with one key for each way in which the keys under `prefix` go on for `length` bytes, and skips the
/// others without reading them.
pub(super) fn for_each_prefix(
    spill: &Spill,
    prefix: &[u8],
    length: usize,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut from = Some(prefix.to_vec());
    while let Some(start) = from.take() {
        spill.reader().scan(prefix, &start, &mut |key, _| {
            visit(key)?;
            from = end_of_prefix(&key[..(prefix.len() + length).min(key.len())]);
            Ok(false)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::key_group;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_fire_key_group_by_key_group(hashes in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut hashes = hashes;
            hashes.sort_by_key(|&hash| firing_rank(hash));
            prop_assert!(hashes.iter().map(|&hash| key_group(hash)).is_sorted());
        }

        #[test]
        fn a_set_has_what_was_put_in(groups in prop::collection::btree_set(0..1024u16, 0..40)) {
            let mut set = KeyGroupSet::default();
            groups.iter().for_each(|&group| set.insert(group));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), Vec::from_iter(groups.iter().copied()));
            prop_assert_eq!(set.is_empty(), groups.is_empty());
        }
    }
}
