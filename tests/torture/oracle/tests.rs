//! The oracle finds what is wrong, and nothing where nothing is.

use super::*;

const WORKLOAD: Workload = Workload { seed: 11, keys: 20, partitions: 3 };
const COUNT: u64 = 30_000;
/// Tells the rows of windows.
const WINDOWS: [fn(&Row) -> bool; 2] =
    [|row| matches!(row, Row::Tumbled { .. }), |row| matches!(row, Row::Hopped { .. })];

/// All rows as they have to be, computed the slow way: every window asks every record.
fn rows() -> Vec<Row> {
    let inputs: Vec<Input> = (0..COUNT).map(|id| WORKLOAD.record(id)).collect();
    let of = |stream| inputs.iter().filter(move |input| input.stream == stream);
    let mut rows: Vec<Row> =
        of(Stream::Payments).map(|input| Row::Passed { id: input.id, key: input.key, value: input.value }).collect();
    let last = inputs.iter().map(|input| input.at).max().expect("there are inputs");
    let first = super::super::workload::BASE;
    for key in 0..WORKLOAD.keys {
        for start in (first - WINDOW_MILLIS..=last).step_by(SLIDE_MILLIS as usize) {
            let within = |input: &&&Input| input.key == key && (start..start + WINDOW_MILLIS).contains(&input.at);
            let payments: Vec<&Input> = of(Stream::Payments).filter(|input| within(&input)).collect();
            let logins: Vec<&Input> = of(Stream::Logins).filter(|input| within(&input)).collect();
            let sum = |inputs: &[&Input]| (inputs.len() as i64, inputs.iter().map(|input| input.value).sum::<i64>());
            let window = (start, key);
            if !logins.is_empty() {
                let (count, total) = sum(&logins);
                rows.push(Row::Hopped { window, count, total });
            }
            if (start - first) % WINDOW_MILLIS != 0 {
                continue;
            }
            if !payments.is_empty() {
                let (count, total) = sum(&payments);
                rows.push(Row::Tumbled { window, count, total });
            }
            let pairs = payments.iter().flat_map(|payment| logins.iter().map(|login| (payment.id, login.id)));
            rows.extend(pairs.map(|(payment, login)| Row::Joined { window, payment, login }));
        }
    }
    rows
}

/// What is found wrong with these rows: lost, doubled, torn.
fn wrong_with(rows: &[Row]) -> (u64, u64, u64) {
    let mut found = Found::new(WORKLOAD);
    rows.iter().for_each(|row| found.add(row.clone()));
    found.compare(&Expected::new(WORKLOAD, COUNT)).sums()
}

/// The place of the first row that is like this.
fn first(rows: &[Row], like: impl FnMut(&Row) -> bool) -> usize {
    rows.iter().position(like).expect("there is such a row")
}

#[test]
fn nothing_is_wrong_with_what_has_to_be() {
    let rows = rows();
    assert_eq!(wrong_with(&rows), (0, 0, 0));
    let expected = Expected::new(WORKLOAD, COUNT);
    let count = |like: fn(&Row) -> bool| rows.iter().filter(|row| like(row)).count() as u64;
    assert_eq!(expected.rows(Sink::Passed), count(|row| matches!(row, Row::Passed { .. })));
    assert_eq!(expected.rows(Sink::Tumbled), count(|row| matches!(row, Row::Tumbled { .. })));
    assert_eq!(expected.rows(Sink::Hopped), count(|row| matches!(row, Row::Hopped { .. })));
    assert_eq!(expected.rows(Sink::Joined), count(|row| matches!(row, Row::Joined { .. })));
    assert!(expected.rows(Sink::Joined) > 1000, "the join has something to do");
}

#[test]
fn a_row_that_is_missing_is_lost() {
    for like in WINDOWS {
        let mut rows = rows();
        rows.remove(first(&rows, like));
        assert_eq!(wrong_with(&rows), (1, 0, 0));
    }
}

#[test]
fn a_row_that_is_there_twice_is_doubled() {
    for like in WINDOWS {
        let mut rows = rows();
        rows.push(rows[first(&rows, like)].clone());
        assert_eq!(wrong_with(&rows), (0, 1, 0));
    }
}

#[test]
fn a_payment_that_passes_without_its_effect_is_torn() {
    // Its changes of state are lost: the window counts one less.
    let mut rows = rows();
    let at = first(&rows, |row| matches!(row, Row::Tumbled { count, .. } if *count > 1));
    let Row::Tumbled { count, .. } = &mut rows[at] else { unreachable!("it is one") };
    *count -= 1;
    assert_eq!(wrong_with(&rows), (0, 0, 1));
}

#[test]
fn a_payment_that_is_counted_and_does_not_pass_is_lost_and_its_window_torn() {
    let mut rows = rows();
    rows.remove(first(&rows, |row| matches!(row, Row::Passed { .. })));
    assert_eq!(wrong_with(&rows), (1, 0, 1));
}

#[test]
fn a_payment_that_passes_twice_and_is_counted_once_is_doubled_and_its_window_torn() {
    let mut rows = rows();
    rows.push(rows[first(&rows, |row| matches!(row, Row::Passed { .. }))].clone());
    assert_eq!(wrong_with(&rows), (0, 1, 1));
}

#[test]
fn a_row_that_no_input_accounts_for_is_torn() {
    let mut rows = rows();
    let login = (0..COUNT).map(|id| WORKLOAD.record(id)).find(|input| input.stream == Stream::Logins);
    let login = login.expect("there are logins");
    rows.push(Row::Passed { id: login.id, key: login.key, value: login.value });
    rows.push(Row::Tumbled { window: (0, 1), count: 1, total: 1 });
    let later = (COUNT..).map(|id| WORKLOAD.record(id)).find(|input| input.stream == Stream::Payments);
    let later = later.expect("there are more payments");
    rows.push(Row::Passed { id: later.id, key: later.key, value: later.value });
    assert_eq!(wrong_with(&rows), (0, 0, 3));
}

#[test]
fn joined_pairs_are_lost_doubled_or_of_two_windows() {
    let rows = rows();
    let mut found = Found::new(WORKLOAD);
    let mut pairs = rows.iter().filter(|row| matches!(row, Row::Joined { .. }));
    let pair = pairs.next().expect("there are pairs").clone();
    found.add(pair.clone());
    found.add(pair.clone());
    let Row::Joined { window, payment, login } = pair else { unreachable!("it is one") };
    found.add(Row::Joined { window: (window.0 + WINDOW_MILLIS, window.1), payment, login });
    let wrong = found.wrong.sums();
    assert_eq!((wrong, found.rows(Sink::Joined)), ((0, 1, 1), 3));
}
