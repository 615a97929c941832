//! Evaluates expressions over a batch and lets single rows fail: a row that has no value is handed out
//! with the reason, and the others go on.

use super::Output;
use crate::batch::{Batch, FailureReason};
use crate::error::{Error, Result};
use arrow_array::{BooleanArray, RecordBatch};

/// What `evaluate` gives for the rows that it has a value for, and those rows.
pub(super) fn evaluate_rows<T>(
    batch: Batch,
    evaluate: impl Fn(&RecordBatch) -> Result<T, String>,
    output: &mut dyn Output,
) -> Result<(Batch, T)> {
    if let Ok(value) = evaluate(&batch.rows) {
        return Ok((batch, value));
    }
    let mut failed = Vec::new();
    find_failing(&batch.rows, 0, &evaluate, &mut failed);
    let mut keep = vec![true; batch.num_rows()];
    for (row, message) in failed {
        keep[row] = false;
        output.fail(batch.failed(row, FailureReason::Evaluate, message))?;
    }
    let rest = batch.filter(&BooleanArray::from(keep))?;
    let value = evaluate(&rest.rows).map_err(|message| {
        Error::fail_job(format!("an expression fails for rows that it had values for: {message}"))
    })?;
    Ok((rest, value))
}

/// Halves the rows until a failing one stands alone: cheap where few fail.
fn find_failing<T>(
    rows: &RecordBatch,
    first: usize,
    evaluate: &impl Fn(&RecordBatch) -> Result<T, String>,
    failed: &mut Vec<(usize, String)>,
) {
    let Err(message) = evaluate(rows) else { return };
    match rows.num_rows() {
        0 => {}
        1 => failed.push((first, message)),
        count => {
            let middle = count / 2;
            find_failing(&rows.slice(0, middle), first, evaluate, failed);
            find_failing(&rows.slice(middle, count - middle), first + middle, evaluate, failed);
        }
    }
}
