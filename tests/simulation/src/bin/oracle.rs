//! The judge: sees what went in and what was committed, and says whether it is what a job without faults
//! would have made of it. It shares no code with the job; it computes everything anew, row by row.
//!
//! Reads frames from its input and answers each with one line. A frame is a sequence of little-endian i64:
//! the number of source partitions, of each the number of rows and the rows; the same for the output, and for the output
//! of a second job that went on from some moment of the first, without partitions where there is none; and at last 1
//! where the job was not to come to the end of its input, otherwise 0.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

const WINDOW: i64 = 100;
/// How far the rows of a partition are out of order at most.
const DISORDER: i64 = 40;

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
        let (output, second, cut_short) = (frame.partitions()?, frame.partitions()?, frame.number()? == 1);
        let verdict = judge(&input, &output, cut_short).and_then(|()| judge_second(&input, &second));
        writeln!(stdout, "{}", verdict.err().unwrap_or_else(|| "ok".to_owned()))?;
        stdout.flush()?;
    }
}

fn judge(input: &[Vec<Vec<i64>>], output: &[Vec<Vec<i64>>], cut_short: bool) -> Result<(), String> {
    let rows = rows(input)?;
    let mut seen = Seen::new(&rows, &BTreeMap::new());
    seen.all(output)?;
    if cut_short { Ok(()) } else { seen.no_rows_left().and_then(|()| seen.no_windows_left_after(i64::MIN)) }
}

/// A job that went on from some moment of another must have begun with some row of each partition, counted all before
/// that, and closed the windows that were open then. From where it began it need not say: its rows do.
fn judge_second(input: &[Vec<Vec<i64>>], output: &[Vec<Vec<i64>>]) -> Result<(), String> {
    if output.is_empty() {
        return Ok(());
    }
    let rows = rows(input)?;
    let mut began: BTreeMap<i64, i64> = (0..).zip(input.iter().map(|partition| partition.len() as i64)).collect();
    for record in output.iter().flatten() {
        if let [1, _, partition, offset, _] = record[..]
            && let Some(first) = began.get_mut(&partition)
        {
            *first = (*first).min(offset);
        }
    }
    let mut seen = Seen::new(&rows, &began);
    seen.all(output)?;
    seen.no_rows_left()?;
    // Where a partition had been read to its end, time may have ended in it or not.
    let mut passed = (i64::MAX, i64::MAX);
    for (&partition, &first) in &began {
        let before = rows.range((partition, 0)..(partition, first)).map(|(_, row)| row.time - DISORDER);
        let time = before.max().unwrap_or(i64::MIN);
        passed.0 = passed.0.min(time);
        if rows.contains_key(&(partition, first)) {
            passed.1 = passed.1.min(time);
        }
    }
    if let Some(again) = seen.first_closed.filter(|end| *end <= passed.0) {
        return Err(format!("doubled: a window that ends at {again} was closed before the second job began"));
    }
    let last_open = seen.windows.keys().map(|(_, end)| *end).max();
    if let (Some(closed), Some(open)) = (seen.first_closed, last_open)
        && open >= closed
    {
        return Err(format!("lost: of the windows that end from {closed} to {open} some are not closed"));
    }
    seen.no_windows_left_after(passed.1)
}

fn rows(input: &[Vec<Vec<i64>>]) -> Result<BTreeMap<(i64, i64), Input>, String> {
    let mut rows = BTreeMap::new();
    for row in input.iter().flatten() {
        let [partition, offset, key, bucket, time, value] = row[..] else {
            return Err("the input is not what the job reads".to_owned());
        };
        rows.insert((partition, offset), Input { key, bucket, time, value });
    }
    Ok(rows)
}

struct Seen<'a> {
    rows: &'a BTreeMap<(i64, i64), Input>,
    left: BTreeMap<(i64, i64), ()>,
    windows: BTreeMap<(i64, i64), (i64, i64)>,
    counts: BTreeMap<i64, i64>,
    /// By key and source partition: the offset counted last.
    latest: BTreeMap<(i64, i64), i64>,
    /// The earliest end of a window that was closed.
    first_closed: Option<i64>,
}

impl<'a> Seen<'a> {
    /// `began`: by partition the first row that is to be counted, where it is not the first of all.
    fn new(rows: &'a BTreeMap<(i64, i64), Input>, began: &BTreeMap<i64, i64>) -> Self {
        let mut seen = Self {
            rows,
            left: BTreeMap::new(),
            windows: BTreeMap::new(),
            counts: BTreeMap::new(),
            latest: BTreeMap::new(),
            first_closed: None,
        };
        for (id, row) in rows {
            let window = seen.windows.entry((row.bucket, (row.time.div_euclid(WINDOW) + 1) * WINDOW)).or_default();
            *window = (window.0 + 1, window.1 + row.value);
            if began.get(&id.0).is_some_and(|first| id.1 < *first) {
                *seen.counts.entry(row.key).or_default() += 1;
            } else {
                seen.left.insert(*id, ());
            }
        }
        seen
    }

    fn all(&mut self, output: &[Vec<Vec<i64>>]) -> Result<(), String> {
        for record in output.iter().flatten() {
            match record[..] {
                [1, key, partition, offset, count] => self.counted(key, (partition, offset), count)?,
                [2, bucket, end, count, sum] => self.closed((bucket, end), (count, sum))?,
                _ => return Err(format!("torn: the output has a record that nobody writes: {record:?}")),
            }
        }
        Ok(())
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
        self.first_closed = Some(self.first_closed.map_or(window.1, |first| first.min(window.1)));
        match self.windows.remove(&window) {
            Some(expected) if expected == found => Ok(()),
            Some(expected) => Err(format!("torn: window {window:?} has {found:?} instead of {expected:?}")),
            None => Err(format!("doubled: window {window:?} was closed twice, or has no rows")),
        }
    }

    fn no_rows_left(&self) -> Result<(), String> {
        match self.left.first_key_value() {
            Some((id, ())) => Err(format!("lost: {} rows, the first {id:?}", self.left.len())),
            None => Ok(()),
        }
    }

    fn no_windows_left_after(&self, time: i64) -> Result<(), String> {
        match self.windows.keys().find(|(_, end)| *end > time) {
            Some(window) => Err(format!("lost: {} windows, among them {window:?}", self.windows.len())),
            None => Ok(()),
        }
    }
}
