//! The sum of the changes of several commits: of a key only its last change, of a prefix that was deleted only
//! what was put under it afterwards.

use super::{Change, StateChanges};
use crate::error::Result;
use std::collections::BTreeSet;

/// To be applied in this order: first `prefixes` are deleted, then `keys` are put (or deleted, where None).
pub(super) struct Coalesced<'a> {
    pub(super) prefixes: BTreeSet<&'a [u8]>,
    /// Each once, in their order.
    pub(super) keys: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// A key as it was changed, and as how many changes came before.
type Numbered<'a> = (&'a [u8], u32, Option<&'a [u8]>);

impl<'a> Coalesced<'a> {
    /// Of changes in the order in which they came.
    pub(super) fn of(all: impl IntoIterator<Item = &'a [u8]>) -> Result<Self> {
        let (mut keys, mut prefixes) = (Vec::<Numbered<'a>>::new(), Vec::new());
        let mut number = 0;
        for changes in all {
            for change in StateChanges::parse(changes) {
                match change? {
                    Change::Put(key, value) => keys.push((key, number, Some(value))),
                    Change::Delete(key) => keys.push((key, number, None)),
                    Change::DeletePrefix(prefix) => prefixes.push((prefix, number)),
                }
                number += 1;
            }
        }
        // Sorting what lies side by side takes half of what a tree takes that is filled one by one.
        keys.sort_unstable_by_key(|&(key, number, _)| (key, number));
        for &(prefix, number) in &prefixes {
            forget(&mut keys, prefix, number);
        }
        let last = |(at, change): (usize, &Numbered<'a>)| {
            let (key, number, value) = *change;
            let followed = keys.get(at + 1).is_some_and(|next| next.0 == key);
            (!followed && number != FORGOTTEN).then_some((key, value))
        };
        let keys = keys.iter().enumerate().filter_map(last).collect();
        Ok(Self { prefixes: prefixes.into_iter().map(|(prefix, _)| prefix).collect(), keys })
    }
}

/// The number of a change that counts no more.
const FORGOTTEN: u32 = u32::MAX;

/// Forgets what was changed below a prefix before that was deleted. `keys` are in their order.
fn forget(keys: &mut [Numbered<'_>], prefix: &[u8], deleted_at: u32) {
    let from = keys.partition_point(|change| change.0 < prefix);
    let below = keys[from..].iter_mut().take_while(|change| change.0.starts_with(prefix));
    for change in below.filter(|change| change.1 < deleted_at) {
        change.1 = FORGOTTEN;
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
