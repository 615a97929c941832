//! The `millrace` command as a person runs it: files in, text and exit codes out, jobs on the embedded broker.
//! Needs no Kafka; the example's test needs the Python of `scripts/python-env.sh`, which `make test` makes.

mod command;
mod check;
mod run;
mod worker;
mod example;
