//! `millrace-bench`: Nexmark on Millrace, side by side with Apache Flink.

mod nexmark;

fn main() {}
