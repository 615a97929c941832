//! ARRAY, MAP, MULTISET and ROW to text, from the texts of what is in them: `[1, NULL]`, `{a=1}`, `(1, a)`.
//! Not the text of the `print` connector, which is Java's.

use super::text::sized;
use super::{Cast, kernel as cast_kernel};
use crate::expression::call::{Arguments, Kernel, Value};
use datafusion_common::Result;
use datafusion_common::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use millrace_planner::types::{DataType, MAX_LENGTH, TypeKind};
use std::ops::Range;
use std::sync::Arc;

pub(super) fn kernel(cast: &Cast) -> Option<Kernel> {
    if !cast.to.is_character() {
        return None;
    }
    let texts = |part: &DataType| Texts::new(&part.kind, cast);
    let to = cast.to.clone();
    Some(match &cast.from {
        TypeKind::Array(element) => {
            let elements = texts(element)?;
            Arc::new(move |a| {
                let array = a.expanded(0)?;
                let array = array.as_list::<i32>();
                let span = Span(array.value_offsets());
                let elements = elements.of(span.slice(array.values()))?;
                a.collect_texts(|row| {
                    let parts = span.row(row).map(|at| shown(&elements, at));
                    array.is_valid(row).then(|| sized(format!("[{}]", joined(parts)).into(), &to))
                })
            })
        }
        TypeKind::Map(key, value) => entries(texts(key)?, texts(value)?, to),
        TypeKind::Multiset(element) => entries(texts(element)?, texts(&DataType::not_null(TypeKind::Int))?, to),
        TypeKind::Row(fields) => {
            let fields = fields.iter().map(|field| texts(&field.data_type)).collect::<Option<Vec<_>>>()?;
            Arc::new(move |a| {
                let array = a.expanded(0)?;
                let array = array.as_struct();
                let fields = fields.iter().zip(array.columns()).map(|(field, column)| field.of(column.clone()));
                let fields = fields.collect::<Result<Vec<_>>>()?;
                a.collect_texts(|row| {
                    let parts = fields.iter().map(|texts| shown(texts, row));
                    array.is_valid(row).then(|| sized(format!("({})", joined(parts)).into(), &to))
                })
            })
        }
        _ => return None,
    })
}

fn entries(keys: Texts, values: Texts, to: TypeKind) -> Kernel {
    Arc::new(move |a| {
        let array = a.expanded(0)?;
        let array = array.as_map();
        let span = Span(array.value_offsets());
        let (keys, values) = (keys.of(span.slice(array.keys()))?, values.of(span.slice(array.values()))?);
        a.collect_texts(|row| {
            let parts = span.row(row).map(|at| format!("{}={}", shown(&keys, at), shown(&values, at)));
            array.is_valid(row).then(|| sized(format!("{{{}}}", joined(parts)).into(), &to))
        })
    })
}

/// Casts what is in a collection to STRING.
struct Texts(Kernel);

impl Texts {
    fn new(from: &TypeKind, cast: &Cast) -> Option<Self> {
        let text = TypeKind::VarChar { length: MAX_LENGTH };
        cast_kernel(from, &text, cast.try_cast, cast.zone).ok().map(Self)
    }

    fn of(&self, array: ArrayRef) -> Result<StringArray> {
        let rows = array.len();
        let texts = (self.0)(&Arguments { values: vec![Value { array, scalar: false }], rows })?;
        Ok(texts.as_string().clone())
    }
}

/// The offsets of an array that may be a slice, counted from where it begins.
struct Span<'a>(&'a [i32]);

impl Span<'_> {
    fn start(&self) -> usize {
        self.0[0] as usize
    }

    fn slice(&self, parts: &ArrayRef) -> ArrayRef {
        let end = self.0[self.0.len() - 1] as usize;
        parts.slice(self.start(), end - self.start())
    }

    fn row(&self, row: usize) -> Range<usize> {
        self.0[row] as usize - self.start()..self.0[row + 1] as usize - self.start()
    }
}

fn shown(texts: &StringArray, at: usize) -> &str {
    if texts.is_null(at) { "NULL" } else { texts.value(at) }
}

fn joined(parts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::new();
    for (number, part) in parts.enumerate() {
        text.push_str(if number == 0 { "" } else { ", " });
        text.push_str(part.as_ref());
    }
    text
}
