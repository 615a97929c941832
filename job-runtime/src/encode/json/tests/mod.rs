//! Tests of the JSON encoder: each rule by example, and what it writes read back.

mod roundtrip;
mod rules;
