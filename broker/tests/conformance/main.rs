//! One conformance suite for two brokers: the embedded one, and a real Apache Kafka whose address is
//! in `MILLRACE_TEST_KAFKA`. Each check is a function of a cluster and runs against both.
//!
//! With `MILLRACE_REQUIRE_KAFKA=1` a missing Kafka is a failure; without it those checks say that
//! they are skipped. What only the embedded broker can do (faults, restarts, bounded memory) is
//! tested at the end, against it alone.

mod cluster;

mod client;

mod produce;

mod idempotence;

mod groups;

mod transactions;

mod fencing;

mod offsets;

mod admin;

mod faults;

mod restart;

mod memory;

mod settings;

/// Makes of each check a test against the embedded broker and one against Apache Kafka.
macro_rules! conformance {
    ($($check:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $check() { super::$check(crate::cluster::embedded()); })+
        }
        mod apache_kafka {
            $(#[test] fn $check() {
                if let Some(cluster) = crate::cluster::apache_kafka() {
                    super::$check(cluster);
                }
            })+
        }
    };
}
pub(crate) use conformance;
