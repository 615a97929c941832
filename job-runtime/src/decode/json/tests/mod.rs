//! Tests of the JSON decoder: each rule by example, and the whole against `serde_json`.

mod projection;
mod rules;
mod strictness;

use super::{JsonDecodeOptions, JsonDecoder};
use crate::decode::{DecodeError, Decoded, RecordDecoder};
use arrow_array::ArrayRef;
use millrace_planner::types::{DataType, RowField, TypeKind};

fn nullable(kind: TypeKind) -> DataType {
    DataType::nullable(kind)
}

fn row(fields: &[(&str, TypeKind)]) -> TypeKind {
    let field =
        |(name, kind): &(&str, TypeKind)| RowField { name: name.to_string(), data_type: nullable(kind.clone()) };
    TypeKind::Row(fields.iter().map(field).collect())
}

/// A decoder of these dotted paths.
fn decoder(columns: &[(&str, TypeKind)], options: JsonDecodeOptions) -> JsonDecoder {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    let columns: Vec<_> = columns.iter().map(|(name, kind)| (path(name), nullable(kind.clone()))).collect();
    JsonDecoder::new(&columns, options).expect("supported columns")
}

/// The column `v` of the documents, all of which have to be rows.
fn decode_all(kind: TypeKind, documents: &[&str]) -> Result<ArrayRef, DecodeError> {
    let mut decoder = decoder(&[("v", kind)], JsonDecodeOptions::default());
    for document in documents {
        assert_eq!(decoder.decode(Some(document.as_bytes()))?, Decoded::Row, "{document}");
    }
    Ok(decoder.finish().remove(0))
}

/// The column of one field with this JSON value.
fn decode_value(kind: TypeKind, value: &str) -> Result<ArrayRef, DecodeError> {
    decode_all(kind, &[&format!("{{\"v\":{value}}}")])
}
