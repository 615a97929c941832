//! Comparison, three-valued logic, conditional functions and access to collections.

use super::{FunctionDefinition as F, Nulls, Parameter as P, ResultType as R};

const COMPARED: &str = "Both arguments have the same kind of type: numbers (DECIMALs of one precision and \
    scale), STRING (by code points), BOOLEAN (FALSE < TRUE), BYTES (unsigned), or one kind of date, time, \
    timestamp (one precision) or interval. NaN equals NaN and is above all numbers, as in Java's \
    Double.compare.";

pub static FUNCTIONS: &[F] = &[
    F::new("EQUALS", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new("NOT_EQUALS", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new("LESS_THAN", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new("LESS_THAN_OR_EQUAL", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new("GREATER_THAN", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new("GREATER_THAN_OR_EQUAL", &[P::Common, P::Common], R::Boolean, COMPARED),
    F::new(
        "IS_DISTINCT_FROM",
        &[P::Common, P::Common],
        R::Boolean,
        "NOT_EQUALS with two NULLs equal and one NULL different.",
    )
    .nulls(Nulls::Never),
    F::new(
        "IS_NOT_DISTINCT_FROM",
        &[P::Common, P::Common],
        R::Boolean,
        "EQUALS with two NULLs equal and one NULL different.",
    )
    .nulls(Nulls::Never),
    F::new(
        "IN",
        &[P::Common, P::Common],
        R::Boolean,
        "Whether the first argument equals one of the others: TRUE if one does, else NULL if the first or \
         one of the others is NULL, else FALSE. The others are literals or any expressions.",
    )
    .variadic()
    .nulls(Nulls::Own),
    F::new(
        "AND",
        &[P::Boolean, P::Boolean],
        R::Boolean,
        "Of two or more: FALSE if one is FALSE, else NULL if one is NULL, else TRUE. Evaluated from the \
         left; what stands right of a FALSE is not evaluated for that row if it could fail the row.",
    )
    .variadic()
    .nulls(Nulls::Own),
    F::new(
        "OR",
        &[P::Boolean, P::Boolean],
        R::Boolean,
        "Of two or more: TRUE if one is TRUE, else NULL if one is NULL, else FALSE. Evaluated like AND.",
    )
    .variadic()
    .nulls(Nulls::Own),
    F::new("NOT", &[P::Boolean], R::Boolean, "The opposite; NULL stays NULL."),
    F::new("IS_NULL", &[P::Any], R::Boolean, "Whether it is NULL (also: IS UNKNOWN).").nulls(Nulls::Never),
    F::new("IS_NOT_NULL", &[P::Any], R::Boolean, "Whether it is not NULL.").nulls(Nulls::Never),
    F::new("IS_TRUE", &[P::Boolean], R::Boolean, "TRUE is; FALSE and NULL are not.").nulls(Nulls::Never),
    F::new("IS_FALSE", &[P::Boolean], R::Boolean, "FALSE is; TRUE and NULL are not.").nulls(Nulls::Never),
    F::new("IS_NOT_TRUE", &[P::Boolean], R::Boolean, "FALSE and NULL are not TRUE.").nulls(Nulls::Never),
    F::new("IS_NOT_FALSE", &[P::Boolean], R::Boolean, "TRUE and NULL are not FALSE.").nulls(Nulls::Never),
    F::new(
        "COALESCE",
        &[P::Common],
        R::Common,
        "The first argument that is not NULL (also: IFNULL). NOT NULL if one argument is.",
    )
    .called(&["COALESCE"])
    .variadic()
    .nulls(Nulls::Own),
    F::new("GREATEST", &[P::Common], R::Common, "The largest argument; NULL if one is NULL.")
        .called(&["GREATEST"])
        .variadic(),
    F::new("LEAST", &[P::Common], R::Common, "The smallest argument; NULL if one is NULL.")
        .called(&["LEAST"])
        .variadic(),
    F::new(
        "ITEM",
        &[P::Collection, P::Any],
        R::Rule,
        "array[i] with i INT from 1, or map[key] with the key's type: the element, which is NULL where \
         there is none.",
    )
    .nulls(Nulls::StrictNullable),
    F::new("CARDINALITY", &[P::Collection], R::Int, "The number of elements of an array or a map.")
        .called(&["CARDINALITY"]),
    F::new("ROW", &[P::Any], R::Rule, "A ROW of its arguments; the fields' names are in the result's type.")
        .variadic()
        .nulls(Nulls::Never),
    F::new("ARRAY", &[P::Common], R::Rule, "An ARRAY of its arguments.").variadic().nulls(Nulls::Never),
];
