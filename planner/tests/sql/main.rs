//! The planner from the outside: scripts in, and what comes of them.

mod parse;
mod plan;
