//! What has to come out, computed from the seed, and what is wrong with what did.
//!
//! Three words, each defined by input and committed output alone:
//!
//! - **lost**: a row that has to be there, and neither is nor has a torn one in its place.
//! - **doubled**: a row that is there once more than it has to be.
//! - **torn**: a row that can only come of a part of something that is whole or not at all. It is a window
//!   whose count or sum is not that of all of its input (an epoch's changes of state are there in part, or
//!   twice); a window that counts another number of payments than have passed, for these are written by
//!   another task into another topic, in the same epoch's transactions; a row that no input accounts for.
//!
//! Both sides are compared as multisets. What is remembered of the output is a bit per payment, a count and
//! a sum per window, and a number per joined pair.

use super::job::{SLIDE_MILLIS, Sink, WINDOW_MILLIS};
use super::workload::{Input, Stream, Workload, key_text};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Debug};

/// Examples kept of each kind of mistake in a sink.
const EXAMPLES: usize = 5;

/// A window of one key: when it begins, and the key.
type Window = (i64, u32);

/// A row of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Passed { id: u64, key: u32, value: i64 },
    Tumbled { window: Window, count: i64, total: i64 },
    Hopped { window: Window, count: i64, total: i64 },
    Joined { window: Window, payment: u64, login: u64 },
}

/// What has been committed to the sinks, as far as it has been read.
pub(super) struct Found {
    workload: Workload,
    passed: Bits,
    /// Payments that have passed more than once, and how often more.
    passed_again: HashMap<u64, u64>,
    tumbled: Windows,
    hopped: Windows,
    joined: HashSet<(u32, u32)>,
    rows: BTreeMap<Sink, u64>,
    /// What is wrong whatever is read later.
    wrong: Report,
}

/// Rows by window; one that differs from an earlier one of its window stands in `more`.
#[derive(Default)]
struct Windows {
    first: HashMap<Window, (i64, i64)>,
    more: Vec<(Window, (i64, i64))>,
}

impl Windows {
    fn add(&mut self, window: Window, row: (i64, i64)) {
        match self.first.entry(window) {
            Entry::Occupied(_) => self.more.push((window, row)),
            Entry::Vacant(place) => {
                place.insert(row);
            }
        }
    }
}

impl Found {
    pub(super) fn new(workload: Workload) -> Self {
        Self {
            workload,
            passed: Bits::default(),
            passed_again: HashMap::new(),
            tumbled: Windows::default(),
            hopped: Windows::default(),
            joined: HashSet::new(),
            rows: BTreeMap::new(),
            wrong: Report::default(),
        }
    }

    /// How many rows of a sink have been read.
    pub(super) fn rows(&self, sink: Sink) -> u64 {
        self.rows.get(&sink).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, row: Row) {
        let sink = match row {
            Row::Passed { id, key, value } => {
                let input = self.workload.record(id);
                if (input.stream, input.key, input.value) != (Stream::Payments, key, value) {
                    self.wrong.torn(Sink::Passed, || format!("{row:?} of {input:?}"));
                } else if !self.passed.set(id) {
                    *self.passed_again.entry(id).or_default() += 1;
                    self.wrong.doubled(Sink::Passed, || format!("{row:?}"));
                }
                Sink::Passed
            }
            Row::Tumbled { window, count, total } => {
                self.tumbled.add(window, (count, total));
                Sink::Tumbled
            }
            Row::Hopped { window, count, total } => {
                self.hopped.add(window, (count, total));
                Sink::Hopped
            }
            Row::Joined { window, payment, login } => {
                let pair = (self.workload.record(payment), self.workload.record(login));
                let fits = |input: Input, stream| input.stream == stream && (tumble(input.at), input.key) == window;
                if !fits(pair.0, Stream::Payments) || !fits(pair.1, Stream::Logins) {
                    self.wrong.torn(Sink::Joined, || format!("{row:?} of {pair:?}"));
                } else if !self.joined.insert((payment as u32, login as u32)) {
                    self.wrong.doubled(Sink::Joined, || format!("{row:?}"));
                }
                Sink::Joined
            }
        };
        *self.rows.entry(sink).or_default() += 1;
    }

    /// What is wrong with it, now that all is read and `expected` is all that there was to read.
    pub(super) fn compare(&self, expected: &Expected) -> Report {
        let mut report = self.wrong.clone();
        self.compare_passed(expected, &mut report);
        let passed = self.passed_by_window(expected.count);
        compare_windows(Sink::Tumbled, &self.tumbled, &expected.tumbled, &mut report, |window, count| {
            passed.get(window).copied().unwrap_or(0) == count
        });
        compare_windows(Sink::Hopped, &self.hopped, &expected.hopped, &mut report, |_, _| true);
        let beyond = |&&(payment, login): &&(u32, u32)| u64::from(payment.max(login)) >= expected.count;
        let beyond = self.joined.iter().filter(beyond).count() as u64;
        report.sink(Sink::Joined).torn += beyond;
        report.sink(Sink::Joined).lost += expected.joined.saturating_sub(self.joined.len() as u64 - beyond);
        report
    }

    fn compare_passed(&self, expected: &Expected, report: &mut Report) {
        for input in expected.payments() {
            if !self.passed.get(input.id) {
                report.lost(Sink::Passed, || format!("{input:?}"));
            }
        }
        for id in self.passed.from(expected.count) {
            report.torn(Sink::Passed, || format!("payment {id} was never made"));
        }
    }

    /// How many payments have passed, by the tumbling window that counts them.
    fn passed_by_window(&self, count: u64) -> HashMap<Window, i64> {
        let mut windows = HashMap::new();
        for id in (0..count).filter(|id| self.passed.get(*id)) {
            let input = self.workload.record(id);
            let times = 1 + self.passed_again.get(&id).copied().unwrap_or(0);
            *windows.entry((tumble(input.at), input.key)).or_default() += times as i64;
        }
        windows
    }
}

/// Every row of a window is whole, doubled or torn; a window without one is lost.
fn compare_windows(
    sink: Sink,
    found: &Windows,
    expected: &HashMap<Window, (i64, i64)>,
    report: &mut Report,
    agrees: impl Fn(&Window, i64) -> bool,
) {
    let mut whole = HashSet::new();
    for (window, row) in found.first.iter().map(|(window, row)| (*window, *row)).chain(found.more.iter().copied()) {
        let name = || format!("{} {}", window.0, key_text(window.1));
        let wanted = expected.get(&window);
        if wanted != Some(&row) {
            report.torn(sink, || format!("{}: {row:?}, has to be {wanted:?}", name()));
        } else if !whole.insert(window) {
            report.doubled(sink, || format!("{}: {row:?}", name()));
        } else if !agrees(&window, row.0) {
            report.torn(sink, || format!("{}: {row:?}, and another number of payments has passed", name()));
        }
    }
    for window in expected.keys().filter(|window| !found.first.contains_key(window)) {
        report.lost(sink, || format!("{} {}", window.0, key_text(window.1)));
    }
}

/// What has to be in the sinks once all windows are closed.
pub(super) struct Expected {
    workload: Workload,
    /// Records of both streams.
    count: u64,
    passed: u64,
    tumbled: HashMap<Window, (i64, i64)>,
    hopped: HashMap<Window, (i64, i64)>,
    joined: u64,
}

impl Expected {
    /// Of the first `count` records.
    pub(super) fn new(workload: Workload, count: u64) -> Self {
        let mut expected =
            Self { workload, count, passed: 0, tumbled: HashMap::new(), hopped: HashMap::new(), joined: 0 };
        let mut logins: HashMap<Window, i64> = HashMap::new();
        for input in (0..count).map(|id| workload.record(id)) {
            let window = (tumble(input.at), input.key);
            match input.stream {
                Stream::Payments => {
                    expected.passed += 1;
                    add(&mut expected.tumbled, window, input.value);
                }
                Stream::Logins => {
                    *logins.entry(window).or_default() += 1;
                    let latest = input.at - input.at.rem_euclid(SLIDE_MILLIS);
                    let starts = (0..WINDOW_MILLIS / SLIDE_MILLIS).map(|back| latest - back * SLIDE_MILLIS);
                    starts.for_each(|start| add(&mut expected.hopped, (start, input.key), input.value));
                }
            }
        }
        let pairs =
            |(window, (payments, _)): (&Window, &(i64, i64))| logins.get(window).map(|logins| payments * logins);
        expected.joined = expected.tumbled.iter().filter_map(pairs).sum::<i64>() as u64;
        expected
    }

    /// How many rows a sink has to have.
    pub(super) fn rows(&self, sink: Sink) -> u64 {
        match sink {
            Sink::Passed => self.passed,
            Sink::Tumbled => self.tumbled.len() as u64,
            Sink::Hopped => self.hopped.len() as u64,
            Sink::Joined => self.joined,
        }
    }

    pub(super) fn all_rows(&self) -> u64 {
        Sink::all().iter().map(|sink| self.rows(*sink)).sum()
    }

    fn payments(&self) -> impl Iterator<Item = Input> {
        let inputs = (0..self.count).map(|id| self.workload.record(id));
        inputs.filter(|input| input.stream == Stream::Payments)
    }
}

/// The start of the tumbling window that a time is in.
fn tumble(at: i64) -> i64 {
    at - at.rem_euclid(WINDOW_MILLIS)
}

fn add(windows: &mut HashMap<Window, (i64, i64)>, window: Window, value: i64) {
    let (count, total) = windows.entry(window).or_default();
    *count += 1;
    *total += value;
}

/// What is wrong with one sink.
#[derive(Clone, Default)]
pub(super) struct Mistakes {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) torn: u64,
    examples: Vec<String>,
}

/// What is wrong, sink by sink.
#[derive(Clone, Default)]
pub(super) struct Report(BTreeMap<Sink, Mistakes>);

impl Report {
    /// Lost, doubled and torn rows of all sinks.
    pub(super) fn sums(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&Mistakes) -> u64| self.0.values().map(of).sum();
        (sum(|sink| sink.lost), sum(|sink| sink.doubled), sum(|sink| sink.torn))
    }

    fn sink(&mut self, sink: Sink) -> &mut Mistakes {
        self.0.entry(sink).or_default()
    }

    fn lost(&mut self, sink: Sink, example: impl FnOnce() -> String) {
        let mistakes = self.sink(sink);
        mistakes.lost += 1;
        mistakes.example("lost", mistakes.lost, example);
    }

    fn doubled(&mut self, sink: Sink, example: impl FnOnce() -> String) {
        let mistakes = self.sink(sink);
        mistakes.doubled += 1;
        mistakes.example("doubled", mistakes.doubled, example);
    }

    fn torn(&mut self, sink: Sink, example: impl FnOnce() -> String) {
        let mistakes = self.sink(sink);
        mistakes.torn += 1;
        mistakes.example("torn", mistakes.torn, example);
    }
}

impl Mistakes {
    fn example(&mut self, what: &str, number: u64, example: impl FnOnce() -> String) {
        if number <= EXAMPLES as u64 {
            self.examples.push(format!("{what}: {}", example()));
        }
    }
}

impl Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sink, Mistakes { lost, doubled, torn, examples }) in &self.0 {
            writeln!(f, "{}: lost {lost}, doubled {doubled}, torn {torn}", sink.name())?;
            examples.iter().try_for_each(|example| writeln!(f, "    {example}"))?;
        }
        Ok(())
    }
}

/// A set of small numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether the number is new.
    fn set(&mut self, number: u64) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn get(&self, number: u64) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// Its numbers from this one on.
    fn from(&self, first: u64) -> impl Iterator<Item = u64> {
        (first..self.0.len() as u64 * 64).filter(|number| self.get(*number))
    }
}

#[cfg(test)]
mod tests;
