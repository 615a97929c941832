//! The judge: sees what went in and what was committed, and says whether it is what a job without faults
//! would have made of it. It shares no code with the job; it computes everything anew, row by row.
//!
//! Reads frames from its input and answers each with one line. A frame is a sequence of little-endian i64:
//! the number of source partitions, of each the number of rows and the rows; the same for the output.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

const WINDOW: i64 = 100;

struct Frame<R: Read>(R);

impl<R: Read> Frame<R> {
    fn number(&mut self) -> io::Result<i64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(i64::from_le_bytes(bytes))
    }

    fn partitions(&mut self) -> io::Result<Vec<Vec<Vec<i64>>>> {
        let count = self.number()?;
        (0..count)
            .map(|_| {
                let records = self.number()?;
                (0..records)
                    .map(|_| {
                        let fields = self.number()?;
                        (0..fields).map(|_| self.number()).collect()
                    })
                    .collect()
            })
            .collect()
    }
}

struct Input {
    key: i64,
    bucket: i64,
    time: i64,
    value: i64,
}

fn main() -> io::Result<()> {
    let mut frame = Frame(io::BufReader::new(io::stdin().lock()));
    let mut stdout = io::stdout().lock();
    loop {
        let input = match frame.partitions() {
            Ok(input) => input,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let output = frame.partitions()?;
        writeln!(stdout, "{}", judge(&input, &output).err().unwrap_or_else(|| "ok".to_owned()))?;
        stdout.flush()?;
    }
}

fn judge(input: &[Vec<Vec<i64>>], output: &[Vec<Vec<i64>>]) -> Result<(), String> {
    let mut rows = BTreeMap::new();
    for row in input.iter().flatten() {
        let [partition, offset, key, bucket, time, value] = row[..] else {
            return Err("the input is not what the job reads".to_owned());
        };
        rows.insert((partition, offset), Input { key, bucket, time, value });
    }
    let mut windows: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for row in rows.values() {
        let window = windows.entry((row.bucket, (row.time.div_euclid(WINDOW) + 1) * WINDOW)).or_default();
        *window = (window.0 + 1, window.1 + row.value);
    }
    let mut seen =
        Seen { rows: &rows, left: rows.keys().map(|id| (*id, ())).collect(), windows, ..Seen::default_of(&rows) };
    for record in output.iter().flatten() {
        match record[..] {
            [1, key, partition, offset, count] => seen.counted(key, (partition, offset), count)?,
            [2, bucket, end, count, sum] => seen.closed((bucket, end), (count, sum))?,
            _ => return Err(format!("torn: the output has a record that nobody writes: {record:?}")),
        }
    }
    seen.nothing_left()
}

struct Seen<'a> {
    rows: &'a BTreeMap<(i64, i64), Input>,
    left: BTreeMap<(i64, i64), ()>,
    windows: BTreeMap<(i64, i64), (i64, i64)>,
    counts: BTreeMap<i64, i64>,
    /// By key and source partition: the offset counted last.
    latest: BTreeMap<(i64, i64), i64>,
}

impl<'a> Seen<'a> {
    fn default_of(rows: &'a BTreeMap<(i64, i64), Input>) -> Self {
        Self { rows, left: BTreeMap::new(), windows: BTreeMap::new(), counts: BTreeMap::new(), latest: BTreeMap::new() }
    }

    fn counted(&mut self, key: i64, id: (i64, i64), count: i64) -> Result<(), String> {
        if self.rows.get(&id).is_none_or(|row| row.key != key) {
            return Err(format!("torn: row {id:?} of key {key} was never sent"));
        }
        if self.left.remove(&id).is_none() {
            return Err(format!("doubled: row {id:?} was counted twice"));
        }
        let expected = self.counts.entry(key).or_default();
        *expected += 1;
        if count != *expected {
            return Err(format!("torn: row {id:?} is number {count} of key {key}, not {expected}"));
        }
        if let Some(before) = self.latest.insert((key, id.0), id.1)
            && before > id.1
        {
            return Err(format!("overtaken: row {id:?} was counted after offset {before}"));
        }
        Ok(())
    }

    fn closed(&mut self, window: (i64, i64), found: (i64, i64)) -> Result<(), String> {
        match self.windows.remove(&window) {
            Some(expected) if expected == found => Ok(()),
            Some(expected) => Err(format!("torn: window {window:?} has {found:?} instead of {expected:?}")),
            None => Err(format!("doubled: window {window:?} was closed twice, or has no rows")),
        }
    }

    fn nothing_left(&self) -> Result<(), String> {
        if let Some((id, ())) = self.left.first_key_value() {
            return Err(format!("lost: {} rows, the first {id:?}", self.left.len()));
        }
        if let Some((window, _)) = self.windows.first_key_value() {
            return Err(format!("lost: {} windows, the first {window:?}", self.windows.len()));
        }
        Ok(())
    }
}
