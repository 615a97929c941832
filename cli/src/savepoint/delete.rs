//! Deletes a savepoint.

use super::place;
use crate::args;
use crate::report::Failure;
use millrace_job_runtime::savepoint::manifest::Manifest;

pub(crate) fn delete(args: &args::DeleteSavepoint) -> Result<(), Failure> {
    match Manifest::delete(&place::open(&args.place)?)? {
        true => Ok(()),
        false => Err(Failure::user(format!("there is no savepoint at {}", args.place.location))),
    }
}
