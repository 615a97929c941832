//! The sum of the changes of several commits: of a key only its last change, of a prefix that was deleted only
//! what was put under it afterwards.

use super::{Change, StateChanges};
use crate::error::Result;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;

/// To be applied in this order: first `prefixes` are deleted, then `keys` are put (or deleted, where None).
pub(super) struct Coalesced<'a> {
    pub(super) prefixes: BTreeSet<&'a [u8]>,
    /// Each once, in their order.
    pub(super) keys: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Coalesced<'a> {
    /// Of changes in the order in which they came.
    pub(super) fn of(all: impl IntoIterator<Item = &'a [u8]>) -> Result<Self> {
        let made = all.into_iter().flat_map(StateChanges::parse).collect::<Result<Vec<Change<'a>>>>()?;
        let (mut deleted, mut last) = (DeletedPrefixes::default(), HashMap::new());
        // From the last one on, what doesn't count any more is known when it comes, and is never sorted.
        for change in made.into_iter().rev() {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Delete(key) => (key, None),
                Change::DeletePrefix(prefix) => {
                    deleted.insert(prefix);
                    continue;
                }
            };
            if !deleted.contain(key) {
                last.entry(key).or_insert(value);
            }
        }
        let mut keys: Vec<_> = last.into_iter().collect();
        keys.sort_unstable_by_key(|&(key, _)| key);
        Ok(Self { prefixes: deleted.prefixes.into_iter().collect(), keys })
    }
}

#[derive(Default)]
struct DeletedPrefixes<'a> {
    prefixes: HashSet<&'a [u8]>,
    /// How long they are: few lengths, since those of a table are made alike.
    lengths: Vec<usize>,
}

impl<'a> DeletedPrefixes<'a> {
    fn insert(&mut self, prefix: &'a [u8]) {
        self.prefixes.insert(prefix);
        if !self.lengths.contains(&prefix.len()) {
            self.lengths.push(prefix.len());
        }
    }

    /// Whether a key begins with one of them.
    fn contain(&self, key: &[u8]) -> bool {
        self.lengths.iter().any(|&length| key.get(..length).is_some_and(|prefix| self.prefixes.contains(prefix)))
    }
}

/// The least key above all that begin with `prefix`; None where every greater key begins so.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::append_key;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_last_change_of_a_key_counts_and_none_before_its_prefix_was_deleted(
            made in vec((0..10, vec(0..3u8, 1..4), any::<u8>()), 0..40),
            pieces in 1..5usize,
        ) {
            let (mut changes, mut model, mut deleted) = (StateChanges::default(), BTreeMap::new(), BTreeSet::new());
            let whole = |key: &[u8]| {
                let mut whole = Vec::new();
                append_key(1, 2, 3, key, &mut whole);
                whole
            };
            for (kind, mut key, value) in made {
                match kind {
                    0..6 => {
                        changes.put(1, 2, 3, &key, &[value]);
                        model.insert(whole(&key), Some(vec![value]));
                    }
                    6..8 => {
                        changes.delete(1, 2, 3, &key);
                        model.insert(whole(&key), None);
                    }
                    _ => {
                        key.truncate(2);
                        changes.delete_prefix(1, 2, 3, &key);
                        let prefix = whole(&key);
                        model.retain(|other: &Vec<u8>, _| !other.starts_with(&prefix));
                        deleted.insert(prefix);
                    }
                }
            }
            let found = Coalesced::of(changes.pieces(pieces * 30)).expect("they can be read");
            let keys: Vec<_> = found.keys.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(keys, model.into_iter().collect::<Vec<_>>());
            let prefixes: BTreeSet<Vec<u8>> = found.prefixes.iter().map(|prefix| prefix.to_vec()).collect();
            prop_assert_eq!(prefixes, deleted);
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_above_every_key_that_begins_so() {
        assert_eq!(end_of_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end_of_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(end_of_prefix(&[255, 255]), None);
        assert_eq!(end_of_prefix(&[]), None);
    }
}
