//! Both phases together against a row-wise oracle: random rows, windows, zones, batches, flushes, pauses,
//! commits and crashes.

mod oracle;

use self::oracle::Oracle;
use super::*;
use crate::env::{Clock, ManualClock, SteadyClock};
use crate::operators::local_window_aggregate::LocalWindowAggregate;
use crate::operators::testing::{Collected, SpillStore, Spilling, Store, context, event, spilling};
use arrow_array::{BooleanArray, Int32Array, Int64Array, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use chrono_tz::Tz;
use millrace_planner::plan::{AggregateCall, AggregateFunction, Column, Operator as PlanOperator, Window, WindowKind};
use millrace_planner::types::{DataType, TypeKind};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Row {
    key: Option<String>,
    value: Option<i64>,
    user: Option<i32>,
    flag: Option<bool>,
    time: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<Row>),
    Flush,
    Commit,
    /// Everything since the last commit is lost, and done again.
    Crash,
    /// With a commit and a crash at that pause of the firing, if it comes to it, and rows at the first, or after it.
    Advance {
        watermark: i64,
        pauses: Vec<(bool, bool)>,
        meanwhile: Vec<Row>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    kind: WindowKind,
    zone: Option<Tz>,
    spilling: Option<Spilling>,
}

fn column(name: &str, kind: TypeKind) -> Column {
    Column { name: name.into(), data_type: DataType::nullable(kind) }
}

fn call(
    function: AggregateFunction,
    argument: Option<(usize, TypeKind)>,
    result: TypeKind,
    partial: &[TypeKind],
) -> AggregateCall {
    AggregateCall {
        function,
        argument: argument.as_ref().map(|a| a.0),
        argument_type: argument.map(|a| DataType::nullable(a.1)),
        distinct: false,
        filter: None,
        data_type: DataType::nullable(result),
        partial: partial.iter().cloned().map(DataType::nullable).collect(),
    }
}

const TEXT: TypeKind = TypeKind::VarChar { length: 100 };

/// SELECT key, COUNT(*), SUM(value) FILTER (WHERE flag), MIN(value), AVG(value), COUNT(DISTINCT user) FILTER
/// (WHERE flag), MAX(key), window_start, window_end, window_time.
fn calls() -> Vec<AggregateCall> {
    use AggregateFunction::*;
    use TypeKind::{BigInt, Int};
    let mut sum = call(Sum, Some((1, BigInt)), BigInt, &[BigInt]);
    sum.filter = Some(3);
    let mut distinct = call(Count, Some((2, Int)), BigInt, &[Int]);
    distinct.filter = Some(3);
    distinct.distinct = true;
    vec![
        call(Count, None, BigInt, &[BigInt]),
        sum,
        call(Min, Some((1, BigInt)), BigInt, &[BigInt]),
        call(Avg, Some((1, BigInt)), BigInt, &[BigInt, BigInt]),
        distinct,
        call(Max, Some((0, TEXT)), TEXT, &[TEXT]),
    ]
}

fn phases(setup: Setup, event_time: bool) -> (LocalWindowAggregate, GlobalWindowAggregate) {
    use WindowProperty::{End, Start, Time};
    let rowtime = match setup.zone {
        Some(_) => TypeKind::TimestampLtz { precision: 3 },
        None => TypeKind::Timestamp { precision: 3 },
    };
    let input = Schema {
        columns: vec![
            column("key", TEXT),
            column("value", TypeKind::BigInt),
            column("user", TypeKind::Int),
            column("flag", TypeKind::Boolean),
            column("rowtime", rowtime.clone()),
        ],
    };
    let time = |column| match event_time {
        true => WindowTime::Event { column, local_time_zone: setup.zone.is_some() },
        false => WindowTime::Processing,
    };
    let zone = setup.zone.map_or("UTC", Tz::name);
    let local = WindowAggregate {
        window: Window { kind: setup.kind, time: time(4) },
        keys: vec![0],
        calls: calls(),
        properties: vec![],
    };
    let mut middle = vec![column("key", TEXT), column("slice_end", TypeKind::BigInt)];
    let mut global_calls = calls();
    for (number, call) in global_calls.iter_mut().enumerate() {
        call.argument = Some(middle.len());
        call.filter = None;
        middle.extend(call.partial.iter().map(|t| column(&format!("partial{number}"), t.kind.clone())));
    }
    let middle = Schema { columns: middle };
    let global = WindowAggregate {
        window: Window { kind: setup.kind, time: time(1) },
        keys: vec![0],
        calls: global_calls,
        properties: vec![Start, End, Time],
    };
    let mut output = vec![column("key", TEXT)];
    output.extend(calls().iter().map(|c| column("result", c.data_type.kind.clone())));
    let timestamp = TypeKind::Timestamp { precision: 3 };
    output.extend([column("start", timestamp.clone()), column("end", timestamp), column("time", rowtime)]);
    let node = Node {
        operator_id: 7,
        stage: 1,
        inputs: vec![0],
        operator: PlanOperator::GlobalWindowAggregate(global.clone()),
        schema: Schema { columns: output },
    };
    let local = LocalWindowAggregate::new(&local, &input, &middle, zone).unwrap();
    (local, GlobalWindowAggregate::new(&node, &global, &middle, zone, 0, 1).unwrap())
}

fn batch(rows: &[Row], zone: bool) -> Batch {
    let times = PrimitiveArray::<TimestampMillisecondType>::from_iter_values(rows.iter().map(|r| r.time));
    let times = if zone { times.with_timezone("UTC") } else { times };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(rows.iter().map(|r| r.key.as_deref()).collect::<StringArray>())),
        ("value", Arc::new(rows.iter().map(|r| r.value).collect::<Int64Array>())),
        ("user", Arc::new(rows.iter().map(|r| r.user).collect::<Int32Array>())),
        ("flag", Arc::new(rows.iter().map(|r| r.flag).collect::<BooleanArray>())),
        ("rowtime", Arc::new(times)),
    ];
    Batch::new(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap())
}

/// Key, results, window start, end and time, all printed.
type Line = Vec<String>;

fn lines(batches: &[Batch]) -> Vec<Line> {
    let options = FormatOptions::default().with_null("-");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayRef> = batch.rows.columns().iter().map(millis_as_numbers).collect();
        let formatters: Vec<_> = columns.iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        lines
            .extend((0..batch.num_rows()).map(|r| formatters.iter().map(|f| f.value(r).to_string()).collect::<Line>()));
    }
    lines
}

fn millis_as_numbers(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        ArrowType::Timestamp(..) => arrow_cast::cast(column, &ArrowType::Int64).unwrap(),
        _ => column.clone(),
    }
}

/// Runs the steps through both phases, with commits and crashes.
struct Run {
    setup: Setup,
    local: LocalWindowAggregate,
    global: GlobalWindowAggregate,
    spill: Option<SpillStore>,
    watermark: i64,
    output: Collected,
    late: usize,
    /// The rows that come while windows fire have come.
    have_come: bool,
    committed: Committed,
}

#[derive(Clone, Default)]
struct Committed {
    store: Store,
    next_step: usize,
    have_come: bool,
    watermark: Option<i64>,
    lines: Vec<Line>,
    late: usize,
}

impl Run {
    fn new(setup: Setup) -> Self {
        let (local, global) = phases(setup, true);
        let mut run = Self {
            setup,
            local,
            global,
            spill: None,
            watermark: i64::MIN,
            output: Collected::default(),
            late: 0,
            have_come: false,
            committed: Committed::default(),
        };
        run.crash();
        run
    }

    fn rows(&mut self, rows: &[Row], watermark: i64) {
        let clock = ManualClock::default();
        let mut output = Collected::default();
        let context = context(&clock, event(watermark));
        self.local.process(0, batch(rows, self.setup.zone.is_some()), &context, &mut output).unwrap();
        assert!(output.batches.is_empty());
        self.late += output.failures().iter().filter(|f| f.0 == FailureReason::Late).count();
    }

    fn flush(&mut self) {
        let clock = ManualClock::default();
        let mut partials = Collected::default();
        let context = context(&clock, event(self.watermark));
        self.local.flush(&context, &mut partials).unwrap();
        for batch in partials.batches {
            self.global.process(0, batch, &context, &mut self.output).unwrap();
        }
    }

    fn commit(&mut self, next_step: usize) {
        self.flush();
        let mut changes = StateChanges::default();
        self.spill.iter_mut().for_each(SpillStore::prepare);
        self.global.snapshot(&mut changes).unwrap();
        self.committed.store.apply(&changes);
        if let Some(spill) = &mut self.spill {
            spill.committed(changes);
        }
        (self.committed.next_step, self.committed.have_come) = (next_step, self.have_come);
        self.committed.watermark = Some(self.watermark);
        self.committed.lines.extend(lines(&std::mem::take(&mut self.output).batches));
        self.committed.late = self.late;
    }

    fn crash(&mut self) -> usize {
        let (local, global) = phases(self.setup, true);
        self.spill = self.setup.spilling.map(|spilling| SpillStore::new(spilling, &self.committed.store));
        let spill = self.spill.as_ref().map(SpillStore::spill);
        (self.local, self.global) = (local, global.with_limits(Limits { rows: 2, bytes: 1 }).with_spill(spill));
        self.global.restore(&mut self.committed.store.clone()).unwrap();
        self.output = Collected::default();
        self.watermark = self.committed.watermark.unwrap_or(i64::MIN);
        (self.late, self.have_come) = (self.committed.late, self.committed.have_come);
        // As a task does, or when time comes anew.
        if self.global.is_interrupted() && self.committed.lines.len().is_multiple_of(2) {
            let clock = ManualClock::default();
            while !self.global.advance(&context(&clock, Progress::START), &mut self.output).unwrap() {}
        }
        self.committed.next_step
    }

    /// The step to do next.
    fn step(&mut self, number: usize, step: &mut Step) -> usize {
        let clock = ManualClock::default();
        match step {
            Step::Rows(rows) => self.rows(rows, self.watermark),
            Step::Flush => self.flush(),
            Step::Commit => self.commit(number + 1),
            Step::Crash => {
                *step = Step::Flush;
                return self.crash();
            }
            Step::Advance { watermark, pauses, meanwhile } => {
                let target = self.watermark.max(*watermark);
                self.flush();
                loop {
                    let done = self.global.advance(&context(&clock, event(target)), &mut self.output).unwrap();
                    if (done || self.global.is_interruptible()) && !std::mem::replace(&mut self.have_come, true) {
                        self.rows(meanwhile, target);
                        self.flush();
                    }
                    if done {
                        break;
                    }
                    let (commit, crash) = pauses.pop().unwrap_or_default();
                    if commit {
                        self.commit(number);
                    }
                    if crash {
                        return self.crash();
                    }
                }
                (self.watermark, self.have_come) = (target, false);
            }
        }
        number + 1
    }
}

fn check(setup: Setup, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut oracle = Oracle { setup, watermark: i64::MIN, open: BTreeMap::new(), emitted: Vec::new(), late: 0 };
    for step in &steps {
        match step {
            Step::Rows(rows) => rows.iter().for_each(|row| oracle.add(row)),
            Step::Advance { watermark, meanwhile, .. } => {
                oracle.advance(*watermark);
                meanwhile.iter().for_each(|row| oracle.add(row));
            }
            _ => {}
        }
    }
    let mut run = Run::new(setup);
    let mut steps = steps;
    let (mut number, end) = (0, steps.len());
    while number < end {
        number = run.step(number, &mut steps[number]);
    }
    run.commit(end);
    let mut actual = run.committed.lines;
    // Windows come in the order of their ends; within one, keys in any order.
    prop_assert!(actual.iter().map(|l| l[8].parse::<i64>().unwrap()).is_sorted());
    actual.sort();
    oracle.emitted.sort();
    prop_assert_eq!(actual, oracle.emitted);
    prop_assert_eq!(run.committed.late, oracle.late);
    // After the end nothing is left but the cursor.
    let steps: &mut [Step] = &mut [Step::Advance { watermark: i64::MAX, pauses: vec![], meanwhile: vec![] }];
    let mut end_run =
        Run { committed: Committed { store: run.committed.store, ..Committed::default() }, ..Run::new(setup) };
    end_run.crash();
    end_run.step(0, &mut steps[0]);
    end_run.commit(1);
    prop_assert_eq!(end_run.committed.store.0.len(), 1);
    Ok(())
}

/// Windows in units; the offset is anything below the size.
fn kind(unit: i64) -> impl Strategy<Value = WindowKind> {
    (1i64..6, 1i64..5, any::<i8>(), 0..3).prop_map(move |(every, times, offset, kind)| {
        let size = every * unit * if kind == 0 { 1 } else { times };
        let (every, offset) = (every * unit, i64::from(offset) % size);
        match kind {
            0 => WindowKind::Tumble { size, offset },
            1 => WindowKind::Hop { size, slide: every, offset },
            _ => WindowKind::Cumulate { size, step: every, offset },
        }
    })
}

fn row(times: std::ops::Range<i64>) -> impl Strategy<Value = Row> {
    let key = prop::option::of(prop::sample::select(vec!["a", "b", "c", "", "long\0key"]).prop_map(str::to_owned));
    (key, prop::option::of(-5i64..6), prop::option::of(0i32..4), prop::option::of(any::<bool>()), times)
        .prop_map(|(key, value, user, flag, time)| Row { key, value, user, flag, time })
}

fn rows(times: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(times), 0..12)
}

fn step(times: std::ops::Range<i64>) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => rows(times.clone()).prop_map(Step::Rows),
        1 => Just(Step::Flush),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
        3 => (times.clone(), prop::collection::vec(any::<(bool, bool)>(), 0..4), rows(times))
            .prop_map(|(watermark, pauses, meanwhile)| Step::Advance { watermark, pauses, meanwhile }),
    ]
}

fn steps(times: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(times), 1..25)
}

/// Around a change of the clock.
fn zoned() -> impl Strategy<Value = (Setup, Vec<Step>)> {
    let changes = [
        (Tz::America__New_York, 1_615_705_200_000), // 2021-03-14 07:00Z: an hour is skipped
        (Tz::America__New_York, 1_636_264_800_000), // 2021-11-07 06:00Z: an hour comes twice
        (Tz::Australia__Lord_Howe, 1_617_462_000_000), // 2021-04-03 15:00Z: half an hour comes twice
        (Tz::Asia__Kolkata, 1_617_462_000_000),     // no change, half an hour off
    ];
    (prop::sample::select(changes.to_vec()), kind(900_000)).prop_flat_map(|((zone, change), kind)| {
        let setup = Setup { kind, zone: Some(zone), spilling: None };
        (Just(setup), steps(change - 10_800_000..change + 10_800_000))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_phases_agree_with_the_oracle_over_commits_and_crashes(kind in kind(1), steps in steps(-60..60)) {
        check(Setup { kind, zone: None, spilling: None }, steps)?;
    }

    #[test]
    fn they_agree_whatever_is_in_memory(kind in kind(1), steps in steps(-60..60), spilling in spilling()) {
        check(Setup { kind, zone: None, spilling: Some(spilling) }, steps)?;
    }

    #[test]
    fn windows_follow_the_wall_clock_of_the_session_time_zone((setup, steps) in zoned()) {
        check(setup, steps)?;
    }
}

fn tumble(size: i64) -> Setup {
    Setup { kind: WindowKind::Tumble { size, offset: 0 }, zone: None, spilling: None }
}

fn rows_at(times: &[i64]) -> Vec<Row> {
    times.iter().map(|&time| Row { key: Some("a".into()), value: Some(1), user: None, flag: None, time }).collect()
}

#[test]
fn a_slice_that_lives_between_two_commits_leaves_no_trace_in_the_state() {
    let mut run = Run::new(tumble(10));
    run.step(0, &mut Step::Rows(rows_at(&[1, 2])));
    run.step(1, &mut Step::Advance { watermark: 20, pauses: vec![], meanwhile: vec![] });
    run.commit(2);
    assert_eq!(run.committed.lines.len(), 1);
    assert_eq!(run.committed.store.0.len(), 1, "only the cursor");
}

#[test]
fn what_memory_has_no_room_for_is_in_the_store_only_and_comes_back_when_it_is_touched() {
    let spilling = Some(Spilling { budget: 0, lag: 0 });
    let mut run = Run::new(Setup { spilling, ..tumble(10) });
    let user =
        |key: &str, user| Row { key: Some(key.into()), value: Some(1), user: Some(user), flag: Some(true), time: 1 };
    run.step(0, &mut Step::Rows(vec![user("a", 1), user("b", 1)]));
    run.commit(1);
    // The first commit is in the store when the second is made.
    run.commit(2);
    let in_memory = |run: &Run| run.global.slices[&10].table().len();
    assert_eq!(in_memory(&run), 0);
    run.step(2, &mut Step::Rows(vec![user("a", 1), user("a", 2)]));
    run.flush();
    assert_eq!(in_memory(&run), 1, "only the key that was touched");
    run.step(3, &mut Step::Advance { watermark: 20, pauses: vec![], meanwhile: vec![] });
    run.commit(4);
    let mut found: Vec<_> =
        run.committed.lines.iter().map(|l| [0, 1, 5].map(|column: usize| l[column].as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [["a", "3", "2"], ["b", "1", "1"]]);
    assert_eq!(run.committed.store.0.len(), 1, "only the cursor");
}

#[test]
fn a_partial_for_a_window_that_has_fired_fails_with_its_key() {
    let (mut local, mut global) = phases(tumble(10), true);
    let clock = ManualClock::default();
    let (mut partials, mut output) = (Collected::default(), Collected::default());
    local.process(0, batch(&rows_at(&[5]), false), &context(&clock, Progress::START), &mut partials).unwrap();
    local.flush(&context(&clock, Progress::START), &mut partials).unwrap();
    assert!(global.advance(&context(&clock, event(9)), &mut output).unwrap());
    global.process(0, partials.batches.remove(0), &context(&clock, event(9)), &mut output).unwrap();
    let message = "rows of the slice that ends 1970-01-01 00:00:00.010 are late: the watermark has passed the end of \
                   its last window, 1970-01-01 00:00:00.010; row: (key = a)";
    assert_eq!(output.failures(), [(FailureReason::Late, message)]);
}

#[test]
fn windows_of_processing_time_fire_once_the_clock_has_left_them_and_carry_their_time() {
    let (mut local, mut global) = phases(tumble(10), false);
    let clock = ManualClock::at(1_009);
    let (mut partials, mut output) = (Collected::default(), Collected::default());
    let at = |millis| Progress { processing: millis, ..Progress::START };
    local.process(0, batch(&rows_at(&[0, 0]), false), &context(&*clock, at(1_009)), &mut partials).unwrap();
    local.flush(&context(&*clock, at(1_009)), &mut partials).unwrap();
    global.process(0, partials.batches.remove(0), &context(&*clock, at(1_009)), &mut output).unwrap();
    assert!(global.advance(&context(&*clock, at(1_009)), &mut output).unwrap());
    assert_eq!(output.rows(), 0, "a row may still be stamped 1,009");
    assert!(global.advance(&context(&*clock, at(1_010)), &mut output).unwrap());
    assert_eq!(lines(&output.batches)[0][7..], ["1000", "1010", "1009"]);
    assert_eq!(global.held_back(at(1_010)).event, 1_009);
    assert_eq!(global.held_back(Progress::END).event, i64::MAX);
}

#[test]
fn a_clock_that_went_back_counts_rows_in_the_open_window() {
    let (mut local, mut global) = phases(tumble(10), false);
    let clock = ManualClock::at(1_005);
    let (mut partials, mut output) = (Collected::default(), Collected::default());
    let at = |millis| Progress { processing: millis, ..Progress::START };
    global.advance(&context(&*clock, at(1_035)), &mut output).unwrap();
    local.process(0, batch(&rows_at(&[0]), false), &context(&*clock, Progress::START), &mut partials).unwrap();
    local.flush(&context(&*clock, Progress::START), &mut partials).unwrap();
    global.process(0, partials.batches.remove(0), &context(&*clock, at(1_035)), &mut output).unwrap();
    assert!(global.advance(&context(&*clock, at(1_040)), &mut output).unwrap());
    assert_eq!(lines(&output.batches)[0][7..], ["1030", "1040", "1039"]);
}

/// A row now, into both phases; then time comes to now.
fn row_now(phases: &mut (LocalWindowAggregate, GlobalWindowAggregate), clock: &dyn Clock, output: &mut Collected) {
    let (local, global) = phases;
    let progress = Progress { processing: clock.now_millis(), ..Progress::START };
    let (context, mut partials) = (context(clock, progress), Collected::default());
    local.process(0, batch(&rows_at(&[0]), false), &context, &mut partials).unwrap();
    local.flush(&context, &mut partials).unwrap();
    partials.batches.into_iter().for_each(|batch| global.process(0, batch, &context, output).unwrap());
    assert!(global.advance(&context, output).unwrap());
}

#[test]
fn a_clock_that_jumps_neither_loses_nor_doubles_rows_of_processing_time_nor_holds_them_back() {
    const HOUR: i64 = 3_600_000;
    let wall = ManualClock::at(100 * HOUR);
    let clock = SteadyClock::over(wall.clone());
    let (mut phases, mut output) = (phases(tumble(10), false), Collected::default());
    let mut rows = 0;
    for jump in [0, 24 * HOUR, -25 * HOUR, -HOUR, 0, 2 * HOUR, -60 * HOUR] {
        wall.jump(jump);
        let fired = output.rows();
        for _ in 0..100 {
            wall.set(wall.monotonic().as_millis() as i64 + 3);
            row_now(&mut phases, clock.as_ref(), &mut output);
            rows += 1;
        }
        // Of 300 ms, at half the speed if it has to be.
        assert!(output.rows() >= fired + 14, "{jump}: {} windows fired", output.rows() - fired);
    }
    wall.jump(1_000 * HOUR);
    row_now(&mut phases, clock.as_ref(), &mut output);
    let lines = lines(&output.batches);
    let counted: u64 = lines.iter().map(|line| line[1].parse::<u64>().expect("a count")).sum();
    assert_eq!(counted, rows, "each row is counted once");
    let mut starts: Vec<&String> = lines.iter().map(|line| &line[7]).collect();
    let windows = starts.len();
    starts.sort();
    starts.dedup();
    assert_eq!(starts.len(), windows, "no window fires twice");
}

#[test]
fn rows_without_a_rowtime_or_beyond_the_calendar_fail_alone() {
    let (mut local, _) = phases(tumble(10), true);
    let clock = ManualClock::default();
    let mut output = Collected::default();
    let mut rows = batch(&rows_at(&[1, i64::MAX, 2]), false);
    let times = PrimitiveArray::<TimestampMillisecondType>::from(vec![Some(1), Some(i64::MAX), None]);
    let mut columns = rows.rows.columns().to_vec();
    columns[4] = Arc::new(times);
    rows.rows = RecordBatch::try_new(rows.rows.schema(), columns).unwrap();
    local.process(0, rows, &context(&clock, Progress::START), &mut output).unwrap();
    local.flush(&context(&clock, Progress::START), &mut output).unwrap();
    let reasons: Vec<_> = output.failures().into_iter().map(|f| f.0).collect();
    assert_eq!(reasons, [FailureReason::Evaluate, FailureReason::Evaluate]);
    assert_eq!(output.rows(), 1);
}
