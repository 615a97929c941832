//! The join against a naive one: random rows, batches, watermarks, pauses, commits and crashes.

mod oracle;

use self::oracle::Oracle;
use super::*;
use crate::env::ManualClock;
use crate::operators::Progress;
use crate::operators::testing::{Collected, SpillStore, Spilling, Store, context, event, spilling};
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, PrimitiveArray, StringArray};
use millrace_planner::expression::{Expression, Function, Literal};
use millrace_planner::plan::{Column, Operator as PlanOperator, WindowKind};
use millrace_planner::types::{DataType, TypeKind};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Row {
    key: Option<String>,
    number: Option<i64>,
    window_end: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Rows(usize, Vec<Row>),
    Commit,
    /// Everything since the last commit is lost, and done again.
    Crash,
    /// With a commit and a crash at that pause of the firing, if it comes to it, and rows at the first, or after it.
    Advance {
        watermark: i64,
        pauses: Vec<(bool, bool)>,
        meanwhile: (usize, Vec<Row>),
    },
}

/// Window end, key, and the numbers of both sides.
type Line = (i64, Option<String>, i64, i64);

const TEXT: TypeKind = TypeKind::VarChar { length: 100 };
const END: TypeKind = TypeKind::Timestamp { precision: 3 };
const SMALL: Limits = Limits { rows: 2, bytes: 1 };

fn column(name: &str, kind: TypeKind) -> Column {
    Column { name: name.into(), data_type: DataType::nullable(kind) }
}

fn read(index: usize, kind: TypeKind) -> Expression {
    Expression::column(index, DataType::nullable(kind))
}

fn call(name: &'static str, arguments: Vec<Expression>, kind: TypeKind) -> Expression {
    let function = Function(name.into());
    Expression { kind: ExpressionKind::Call { function, arguments }, data_type: DataType::nullable(kind) }
}

/// SELECT l.window_end, l.k, l.n, r.m FROM l (k, n, window_end) JOIN r (window_end, m, k) ON l.k = r.k AND … AND
/// the condition.
struct Setup {
    has_keys: bool,
    condition: Option<Expression>,
    zone: &'static str,
    limits: Limits,
    spilling: Option<Spilling>,
}

impl Setup {
    fn new(limits: Limits) -> Self {
        // l.n <= r.m
        let numbers = vec![read(1, TypeKind::BigInt), read(4, TypeKind::BigInt)];
        let condition = Some(call("LESS_THAN_OR_EQUAL", numbers, TypeKind::Boolean));
        Self { has_keys: true, condition, zone: "UTC", limits, spilling: None }
    }

    fn operator(&self) -> WindowJoin {
        let left = vec![column("k", TEXT), column("n", TypeKind::BigInt), column("window_end", END)];
        let right = vec![column("window_end", END), column("m", TypeKind::BigInt), column("k", TEXT)];
        let keys = |key: usize| if self.has_keys { vec![key] } else { vec![] };
        let join = plan::WindowJoin {
            window: WindowKind::Tumble { size: 10, offset: 0 },
            local_time_zone: self.zone != "UTC",
            left: JoinSide { keys: keys(0), window_end: 2 },
            right: JoinSide { keys: keys(2), window_end: 0 },
            condition: self.condition.clone(),
            output: vec![2, 0, 1, 4],
        };
        let output = vec![left[2].clone(), left[0].clone(), left[1].clone(), right[1].clone()];
        let node = Node {
            operator_id: 7,
            stage: 1,
            inputs: vec![0, 1],
            operator: PlanOperator::WindowJoin(join.clone()),
            schema: Schema { columns: output },
        };
        let (left, right) = (Schema { columns: left }, Schema { columns: right });
        WindowJoin::new(&node, &join, [&left, &right], self.zone, 0, 1).unwrap().with_limits(self.limits)
    }
}

fn batch(side: usize, rows: &[Row]) -> Batch {
    let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.key.as_deref()).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.number).collect::<Int64Array>());
    let ends = rows.iter().map(|row| row.window_end);
    let ends: ArrayRef = Arc::new(PrimitiveArray::<TimestampMillisecondType>::from_iter_values(ends));
    let columns = match side {
        0 => [("k", keys, true), ("n", numbers, true), ("window_end", ends, true)],
        _ => [("window_end", ends, true), ("m", numbers, true), ("k", keys, true)],
    };
    Batch::new(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
}

fn row(key: &str, number: i64, window_end: i64) -> Row {
    Row { key: Some(key.to_owned()), number: Some(number), window_end }
}

fn lines(batches: &[Batch]) -> Vec<Line> {
    let mut lines = Vec::new();
    for Batch { rows, .. } in batches {
        let ends = rows.column(0).as_primitive::<TimestampMillisecondType>();
        let keys = rows.column(1).as_string::<i32>();
        let number = |column: usize, row: usize| rows.column(column).as_primitive::<Int64Type>().value(row);
        let line = |row| {
            let key = keys.is_valid(row).then(|| keys.value(row).to_owned());
            (ends.value(row), key, number(2, row), number(3, row))
        };
        lines.extend((0..rows.num_rows()).map(line));
    }
    lines
}

/// Runs the steps, with commits and crashes.
struct Run {
    setup: Setup,
    join: WindowJoin,
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
        let join = setup.operator();
        let mut run = Self {
            setup,
            join,
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

    fn commit(&mut self, next_step: usize) {
        let mut changes = StateChanges::default();
        self.spill.iter_mut().for_each(SpillStore::prepare);
        self.join.snapshot(&mut changes).unwrap();
        self.committed.store.apply(&changes);
        if let Some(spill) = &mut self.spill {
            spill.committed(changes);
        }
        (self.committed.next_step, self.committed.have_come) = (next_step, self.have_come);
        self.committed.watermark = Some(self.watermark);
        let output = std::mem::take(&mut self.output);
        assert!(output.batches.iter().all(|batch| batch.num_rows() <= self.setup.limits.rows));
        self.late += output.failures().iter().filter(|failure| failure.0 == FailureReason::Late).count();
        self.committed.lines.extend(lines(&output.batches));
        self.committed.late = self.late;
    }

    fn crash(&mut self) -> usize {
        self.spill = self.setup.spilling.map(|spilling| SpillStore::new(spilling, &self.committed.store));
        self.join = self.setup.operator().with_spill(self.spill.as_ref().map(SpillStore::spill));
        self.join.restore(&mut self.committed.store.clone()).unwrap();
        self.output = Collected::default();
        self.watermark = self.committed.watermark.unwrap_or(i64::MIN);
        (self.late, self.have_come) = (self.committed.late, self.committed.have_come);
        // As a task does, or when time comes anew.
        if self.join.is_interrupted() && self.committed.lines.len().is_multiple_of(2) {
            let clock = ManualClock::default();
            while !self.join.advance(&context(&clock, Progress::START), &mut self.output).unwrap() {}
        }
        self.committed.next_step
    }

    fn add(&mut self, side: usize, rows: &[Row]) {
        let clock = ManualClock::default();
        let context = context(&clock, event(self.watermark));
        self.join.process(side, batch(side, rows), &context, &mut self.output).unwrap();
    }

    /// The step to do next.
    fn step(&mut self, number: usize, step: &mut Step) -> usize {
        let clock = ManualClock::default();
        match step {
            Step::Rows(side, rows) => self.add(*side, rows),
            Step::Commit => self.commit(number + 1),
            Step::Crash => {
                *step = Step::Rows(0, Vec::new());
                return self.crash();
            }
            Step::Advance { watermark, pauses, meanwhile: (side, rows) } => {
                let target = self.watermark.max(*watermark);
                loop {
                    let done = self.join.advance(&context(&clock, event(target)), &mut self.output).unwrap();
                    if !std::mem::replace(&mut self.have_come, true) {
                        self.add(*side, rows);
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

    fn advance(&mut self, watermark: i64) {
        self.step(0, &mut Step::Advance { watermark, pauses: Vec::new(), meanwhile: (0, Vec::new()) });
    }
}

fn check(limits: Limits, spilling: Option<Spilling>, mut steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut oracle = Oracle::default();
    for step in &steps {
        match step {
            Step::Rows(side, rows) => rows.iter().for_each(|row| oracle.add(*side, row)),
            Step::Advance { watermark, meanwhile: (side, rows), .. } => {
                oracle.advance(*watermark);
                rows.iter().for_each(|row| oracle.add(*side, row));
            }
            _ => {}
        }
    }
    let mut run = Run::new(Setup { spilling, ..Setup::new(limits) });
    let (mut number, end) = (0, steps.len());
    while number < end {
        number = run.step(number, &mut steps[number]);
    }
    run.commit(end);
    let mut actual = run.committed.lines.clone();
    prop_assert!(actual.is_sorted_by_key(|line| line.0), "windows come in the order of their ends");
    actual.sort();
    oracle.emitted.sort();
    prop_assert_eq!(actual, oracle.emitted);
    prop_assert_eq!(run.committed.late, oracle.late);
    // After the end nothing is left but the cursor.
    run.crash();
    run.advance(i64::MAX);
    run.commit(end);
    prop_assert_eq!(run.committed.store.0.len(), 1);
    Ok(())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop::option::of(prop::sample::select(vec!["a", "b", "", "long\0key"]).prop_map(str::to_owned));
    let row = (key, prop::option::of(-3i64..4), -3i64..6).prop_map(|(key, number, window)| Row {
        key,
        number,
        window_end: window * 10,
    });
    prop::collection::vec(row, 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0usize..2, rows()).prop_map(|(side, rows)| Step::Rows(side, rows)),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
        3 => (-40i64..70, prop::collection::vec(any::<(bool, bool)>(), 0..6), (0usize..2, rows()))
            .prop_map(|(watermark, pauses, meanwhile)| Step::Advance { watermark, pauses, meanwhile }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    // Of 3000 bytes a small batch of pairs takes a part.
    (1usize..6, prop::sample::select(vec![1usize, 3_000, 1 << 20])).prop_map(|(rows, bytes)| Limits { rows, bytes })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_join_agrees_with_the_oracle_over_commits_and_crashes(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        check(limits, None, steps)?;
    }

    #[test]
    fn it_agrees_whatever_is_in_memory(
        limits in limits(),
        spilling in spilling(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        check(limits, Some(spilling), steps)?;
    }
}

#[test]
fn duplicates_join_as_often_as_there_are_pairs() {
    let mut run = Run::new(Setup::new(Limits::default()));
    run.add(0, &[row("a", 1, 10), row("a", 1, 10), row("b", 1, 10)]);
    run.add(1, &[row("a", 2, 10), row("a", 2, 10), row("a", 2, 10), row("a", 2, 20)]);
    run.advance(9);
    run.commit(1);
    assert_eq!(run.committed.lines, vec![(10, Some("a".to_owned()), 1, 2); 6]);
}

#[test]
fn a_window_fires_when_the_watermark_is_a_millisecond_before_its_end() {
    let mut run = Run::new(Setup::new(Limits::default()));
    run.add(0, &[row("a", 1, 10)]);
    run.add(1, &[row("a", 2, 10)]);
    run.advance(8);
    assert_eq!(run.output.rows(), 0);
    run.advance(9);
    assert_eq!(run.output.rows(), 1);
}

#[test]
fn windows_of_a_zone_fire_when_its_clock_shows_their_end() {
    let mut run = Run::new(Setup { zone: "Asia/Kolkata", ..Setup::new(Limits::default()) });
    let hours = |n: i64| n * 3_600_000;
    run.add(0, &[row("a", 1, hours(24))]);
    run.add(1, &[row("a", 2, hours(24))]);
    // Midnight there is half past six in the evening.
    run.advance(hours(18) + hours(1) / 2 - 2);
    assert_eq!(run.output.rows(), 0);
    run.advance(hours(18) + hours(1) / 2 - 1);
    assert_eq!(run.output.rows(), 1);
}

#[test]
fn a_late_row_fails_with_what_it_is() {
    let mut run = Run::new(Setup::new(Limits::default()));
    run.advance(9);
    run.add(1, &[Row { key: None, ..row("a", 5, 10) }, row("a", 6, 20)]);
    let message = "the row is late for the join of the window that ends 1970-01-01 00:00:00.010, which the watermark \
                   has passed; row: (window_end = 1970-01-01T00:00:00.010, m = 5, k = NULL)";
    assert_eq!(run.output.failures(), [(FailureReason::Late, message)]);
}

#[test]
fn rows_without_a_key_are_not_kept() {
    let mut run = Run::new(Setup::new(Limits::default()));
    let null = Row { key: None, ..row("", 1, 10) };
    run.add(0, &[null.clone(), row("a", 1, 10), null.clone()]);
    run.add(1, &[null.clone(), null]);
    run.commit(1);
    assert_eq!(run.committed.store.0.len(), 2, "one row and the cursor");
    run.advance(9);
    assert_eq!(run.output.rows(), 0);
}

#[test]
fn without_keys_all_rows_of_a_window_join() {
    let mut run = Run::new(Setup { has_keys: false, condition: None, ..Setup::new(SMALL) });
    run.add(0, &[row("a", 1, 10), Row { key: None, ..row("", 2, 10) }]);
    run.add(1, &[row("b", 3, 10), row("c", 4, 10)]);
    run.commit(1);
    run.crash();
    run.advance(9);
    run.commit(1);
    let mut numbers: Vec<_> = run.committed.lines.iter().map(|line| (line.2, line.3)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [(1, 3), (1, 4), (2, 3), (2, 4)]);
}

#[test]
fn a_row_that_lives_between_two_commits_leaves_no_trace_in_the_state() {
    let mut run = Run::new(Setup::new(Limits::default()));
    run.add(0, &[row("a", 1, 10)]);
    run.add(1, &[row("a", 2, 10), row("b", 2, 10)]);
    run.advance(20);
    let mut changes = StateChanges::default();
    run.join.snapshot(&mut changes).unwrap();
    assert_eq!((run.output.rows(), changes.count()), (1, 1), "only the cursor");
}

#[test]
fn a_commit_has_only_what_came_since_the_last() {
    let mut run = Run::new(Setup::new(Limits::default()));
    let count = |run: &mut Run| {
        let mut changes = StateChanges::default();
        run.join.snapshot(&mut changes).unwrap();
        changes.count()
    };
    run.add(0, &[row("a", 1, 10), row("b", 1, 10)]);
    assert_eq!(count(&mut run), 3, "two rows and the cursor");
    assert_eq!(count(&mut run), 0);
    run.add(1, &[row("a", 1, 10)]);
    assert_eq!(count(&mut run), 2, "a row and the cursor");
    run.advance(9);
    assert_eq!(count(&mut run), 4, "three rows deleted, and the cursor");
    assert_eq!(count(&mut run), 0);
}

#[test]
fn pairs_that_the_condition_fails_on_fail_alone() {
    let int = |value| Expression {
        kind: ExpressionKind::Literal(Literal::Integer(value)),
        data_type: DataType::not_null(TypeKind::BigInt),
    };
    // 6 / r.m > 1
    let quotient = call("DIVIDE", vec![int(6), read(4, TypeKind::BigInt)], TypeKind::BigInt);
    let condition = call("GREATER_THAN", vec![quotient, int(1)], TypeKind::Boolean);
    let mut run = Run::new(Setup { condition: Some(condition), ..Setup::new(Limits::default()) });
    run.add(0, &[row("a", 1, 10)]);
    run.add(1, &[row("a", 2, 10), row("a", 0, 10), row("a", 6, 10)]);
    run.advance(9);
    assert_eq!(
        run.output.failures(),
        [(FailureReason::Evaluate, "/ by zero; row: (k = a, n = 1, window_end = 1970-01-01T00:00:00.010, m = 0)")]
    );
    assert_eq!(lines(&run.output.batches), [(10, Some("a".to_owned()), 1, 2)]);
}

#[test]
fn many_small_batches_are_put_together() {
    let mut run = Run::new(Setup { condition: None, ..Setup::new(Limits::default()) });
    for number in 0..1_000 {
        run.add(0, &[row("a", number, 10)]);
    }
    run.add(1, &[row("a", 0, 10)]);
    assert!(run.join.open[&10].rows.sides[0].batches.len() < 64);
    run.advance(9);
    let mut numbers: Vec<i64> = lines(&run.output.batches).iter().map(|line| line.2).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn what_memory_has_no_room_for_is_in_the_store_only_until_its_window_fires() {
    let spilling = Some(Spilling { budget: 0, lag: 0 });
    let mut run = Run::new(Setup { spilling, ..Setup::new(Limits::default()) });
    run.add(0, &[row("a", 1, 10), row("b", 2, 10)]);
    run.commit(1);
    // The first commit is in the store when the second is made.
    run.commit(2);
    assert!(run.join.open[&10].rows.is_empty());
    run.add(1, &[row("a", 3, 10), row("c", 4, 10)]);
    run.add(0, &[row("a", 2, 10)]);
    run.advance(9);
    run.commit(3);
    let line = |left| (10, Some("a".to_owned()), left, 3);
    assert_eq!(run.committed.lines, [line(1), line(2)]);
    run.commit(4);
    assert_eq!(run.committed.store.0.len(), 1, "only the cursor");
}

#[test]
fn state_of_another_parallelism_is_refused() {
    let mut run = Run::new(Setup::new(Limits::default()));
    run.commit(0);
    run.setup.limits = SMALL;
    let mut other = run.setup.operator();
    other.groups = 0..512;
    let error = other.restore(&mut run.committed.store).unwrap_err();
    assert!(error.to_string().contains("needs a savepoint"), "{error}");
}
