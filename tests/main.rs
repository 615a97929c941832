//! Tests that belong to no single crate. What they need besides cargo says the module they are in.

mod architecture;
mod chart;
mod dependencies;
mod kafka;
mod torture;
