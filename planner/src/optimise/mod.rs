//! From bound trees to ones that read, compute and send no more than they need. Each step keeps the
//! rows as they are. Not here: the plan's graph (`stages.rs`).
//!
//! Filters never move below the watermark: a row that is dropped still tells the time.

mod fold;
mod substitute;
mod known;
mod merge;
mod prune;
mod share;

use crate::bind::Tree;

/// Optimises the trees of a script together, so that a table read by several is scanned once.
pub(crate) fn optimise(trees: Vec<Tree>) -> Vec<Tree> {
    // A watermark that pruning took away stood between projections that now merge, which may leave
    // fewer columns to read.
    let steps = |tree| prune::prune(merge::merge(prune::prune(merge::merge(tree))));
    share::share_scans(trees.into_iter().map(steps).collect())
}
