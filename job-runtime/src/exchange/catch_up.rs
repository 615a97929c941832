//! The time after a claim in which rows of local tasks may still wait in Kafka, sent when the two were tasks
//! of different workers. Until all of it is received, nothing may go through memory, or it would overtake
//! them: exchanges are read from the last to the first, sources and clocks come after.

use millrace_planner::plan::NodeId;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub struct CatchUp {
    /// In the order of the plan: pairs of local tasks with something under way.
    exchanges: Vec<(NodeId, AtomicUsize)>,
}

impl CatchUp {
    /// By exchange, in the order of the plan.
    pub fn new(pairs: impl IntoIterator<Item = (NodeId, usize)>) -> Self {
        Self { exchanges: pairs.into_iter().map(|(exchange, pairs)| (exchange, AtomicUsize::new(pairs))).collect() }
    }

    /// A pair has nothing under way any more.
    pub fn caught_up(&self, exchange: NodeId) {
        let found = self.exchanges.iter().find(|(id, _)| *id == exchange);
        let (_, pairs) = found.expect("pairs are counted when the exchange is built");
        pairs.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether rows of this exchange may be taken: what they cause goes into later ones only.
    pub fn may_read(&self, exchange: NodeId) -> bool {
        self.exchanges.iter().filter(|(id, _)| *id > exchange).all(|(_, pairs)| pairs.load(Ordering::Acquire) == 0)
    }

    /// Whether memory holds no rows back any more in any exchange.
    pub fn is_done(&self) -> bool {
        self.exchanges.iter().all(|(_, pairs)| pairs.load(Ordering::Acquire) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_open_from_the_last_to_the_first() {
        let catch_up = CatchUp::new([(3, 1), (5, 0), (8, 2)]);
        let readable = || [3, 5, 8].map(|exchange| catch_up.may_read(exchange));
        assert_eq!(readable(), [false, false, true]);
        catch_up.caught_up(8);
        assert_eq!(readable(), [false, false, true]);
        catch_up.caught_up(8);
        assert_eq!(readable(), [true, true, true]);
        assert!(!catch_up.is_done());
        catch_up.caught_up(3);
        assert!(catch_up.is_done());
    }
}
