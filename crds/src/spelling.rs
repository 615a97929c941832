//! The nearest of some names to one that isn't among them, for "did you mean". Not a spell checker.

/// The candidate that a person most likely meant by `word`; None where nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // A third of the word may be wrong: that catches a swap in a short one and a plural in a long one.
    let bound = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_keyboard_finds_the_name_that_was_meant() {
        let names = ["kafka", "replicas", "commitInterval", "checkpoint"];
        assert_eq!(nearest("kakfa", names), Some("kafka"));
        assert_eq!(nearest("replica", names), Some("replicas"));
        assert_eq!(nearest("commit_interval", names), Some("commitInterval"));
        assert_eq!(nearest("Checkpoint", names), Some("checkpoint"));
    }

    #[test]
    fn a_word_that_is_near_nothing_finds_nothing() {
        assert_eq!(nearest("sql", ["kafka", "replicas"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
