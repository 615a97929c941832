//! What is JSON and what is not: the same as for `serde_json`.
