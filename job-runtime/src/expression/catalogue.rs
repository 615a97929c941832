//! From a function's name to its kernel. A test holds this against the planner's catalogue.

use super::call::Kernel;
use super::zone::Zone;
use super::{Now, arithmetic, collection, encoding, logic, math, regex, rounding, string, temporal, temporal_text};
use crate::error::{Error, Result};
use millrace_planner::expression::{Expression, ExpressionKind, Literal};
use millrace_planner::types::{DataType, TypeKind};

/// A call as the plan has it, and the session it runs in.
pub(super) struct Signature<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a [Expression],
    pub(super) result: &'a DataType,
    pub(super) zone: Zone,
    pub(super) now: &'a Now,
}

impl Signature<'_> {
    pub(super) fn kind(&self, argument: usize) -> &TypeKind {
        &self.arguments[argument].data_type.kind
    }

    /// The argument where it is a literal string.
    pub(super) fn literal(&self, argument: usize) -> Option<&str> {
        match self.arguments.get(argument).map(|e| &e.kind) {
            Some(ExpressionKind::Literal(Literal::String(text))) => Some(text),
            _ => None,
        }
    }

    pub(super) fn unsupported(&self) -> Error {
        let types: Vec<_> = self.arguments.iter().map(|a| a.data_type.kind.to_string()).collect();
        Error::user_fault(format!("{}({}) is not supported yet", self.name, types.join(", ")))
    }
}

pub(super) fn kernel(signature: &Signature<'_>) -> Result<Kernel> {
    if let Some(kernel) = logic::kernel(signature.name) {
        return Ok(kernel);
    }
    if let Some(kernel) = math::kernel(signature.name) {
        return Ok(kernel);
    }
    if let Some(kernel) = string::kernel(signature) {
        return Ok(kernel);
    }
    let others = [
        arithmetic::kernel,
        rounding::kernel,
        regex::kernel,
        encoding::kernel,
        temporal::kernel,
        temporal_text::kernel,
        collection::kernel,
    ];
    for family in others {
        if let Some(kernel) = family(signature)? {
            return Ok(kernel);
        }
    }
    Err(signature.unsupported())
}
