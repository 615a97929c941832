//! The sum of the changes of several commits: of a key only its last change, of a prefix that was deleted only
//! what was put under it afterwards.

use super::{Change, StateChanges};
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// To be applied in this order: first `prefixes` are deleted, then `keys` are put (or deleted, where None).
#[derive(Default)]
pub(super) struct Coalesced<'a> {
    pub(super) prefixes: BTreeSet<&'a [u8]>,
    pub(super) keys: BTreeMap<&'a [u8], Option<&'a [u8]>>,
}

impl<'a> Coalesced<'a> {
    /// Adds changes that came after those added before.
    pub(super) fn add(&mut self, changes: &'a [u8]) -> Result<()> {
        for change in StateChanges::parse(changes) {
            match change? {
                Change::Put(key, value) => {
                    self.keys.insert(key, Some(value));
                }
                Change::Delete(key) => {
                    self.keys.insert(key, None);
                }
                Change::DeletePrefix(prefix) => self.delete_prefix(prefix),
            }
        }
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &'a [u8]) {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let under = self.keys.range::<[u8], _>(from).map(|(&key, _)| key);
        let under: Vec<&[u8]> = under.take_while(|key| key.starts_with(prefix)).collect();
        for key in under {
            self.keys.remove(key);
        }
        self.prefixes.insert(prefix);
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

    #[test]
    fn the_end_of_a_prefix_is_above_every_key_that_begins_so() {
        assert_eq!(end_of_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end_of_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(end_of_prefix(&[255, 255]), None);
        assert_eq!(end_of_prefix(&[]), None);
    }
}
