//! Deletes a savepoint.

use super::place;
use crate::args;
use crate::report::Failure;
use crate::run::failure;
use millrace_job_runtime::savepoint::manifest::Manifest;

pub(crate) fn delete(args: &args::DeleteSavepoint) -> Result<(), Failure> {
    Manifest::delete(&place::open(&args.place)?).map_err(failure)
}
