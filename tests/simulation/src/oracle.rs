//! The way to the oracle, a program of its own (`bin/oracle.rs`): one process for many runs, each sent as a
//! frame and answered with a line.

use crate::world::Report;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Oracle {
    child: Child,
    /// None once it has been told that nothing follows.
    input: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("asked for"));
        Ok(Self { child, input, answers })
    }

    /// What is wrong with a run's output; None if nothing is.
    pub fn judge(&mut self, report: &Report) -> io::Result<Option<String>> {
        let mut frame = Vec::new();
        write_partitions(&mut frame, &report.input);
        write_partitions(&mut frame, &report.output);
        write_partitions(&mut frame, &report.second);
        frame.extend(i64::from(report.cut_short).to_le_bytes());
        let input = self.input.as_mut().expect("open until dropped");
        input.write_all(&frame)?;
        input.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end() {
            "" => Err(io::Error::other("the oracle has ended")),
            "ok" => Ok(None),
            wrong => Ok(Some(wrong.to_owned())),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.input = None;
        // It ends by itself at the end of its input; how is of no interest any more.
        let _ = self.child.wait();
    }
}

/// Records are sequences of i64 already: only their lengths are added.
fn write_partitions(frame: &mut Vec<u8>, partitions: &[Vec<Vec<u8>>]) {
    let put = |frame: &mut Vec<u8>, number: usize| frame.extend((number as i64).to_le_bytes());
    put(frame, partitions.len());
    for records in partitions {
        put(frame, records.len());
        for record in records {
            put(frame, record.len() / 8);
            frame.extend(record);
        }
    }
}
