//! Builds the tree of wanted fields from a table's columns. Everything that can't be decoded is refused
//! here, so that reading a record knows no unsupported types.

use super::column::{Column, Entries, Row, Storage, Values};
use super::fields::{Fields, Slot};
use super::runs::Runs;
use super::time::TimestampLayout;
use crate::error::{Error, Result};
use crate::schema::{arrow_type, time_unit};
use arrow_schema::TimeUnit;
use millrace_planner::connector::TimestampFormat;
use millrace_planner::types::{DataType, TypeKind};

/// A column to decode: what is left of its path, its place in the result, its type.
type Wanted<'a> = (&'a [String], usize, &'a DataType);

pub(super) fn build(columns: &[(Vec<String>, DataType)], format: TimestampFormat) -> Result<Fields> {
    let wanted = columns.iter().enumerate().map(|(index, (path, data_type))| (path.as_slice(), index, data_type));
    fields(wanted.collect(), format)
}

/// The fields of one object, in the order in which they are first asked for.
fn fields(wanted: Vec<Wanted<'_>>, format: TimestampFormat) -> Result<Fields> {
    let mut by_name: Vec<(&str, Vec<Wanted<'_>>)> = Vec::new();
    for (path, index, data_type) in wanted {
        let Some((name, rest)) = path.split_first() else {
            return Err(Error::user_fault("a column of a JSON record has to have a name"));
        };
        let at = by_name.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            by_name.push((name, Vec::new()));
            by_name.len() - 1
        });
        by_name[at].1.push((rest, index, data_type));
    }
    let slots = by_name.into_iter().map(|(name, wanted)| Ok((name.to_owned(), slot(wanted, format)?)));
    Ok(Fields::new(slots.collect::<Result<_>>()?))
}

fn slot(wanted: Vec<Wanted<'_>>, format: TimestampFormat) -> Result<Slot> {
    let (whole, inner): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(path, ..)| path.is_empty());
    let mut slots = Vec::with_capacity(1);
    for (_, index, data_type) in whole {
        slots.push(Slot::Column { index, column: column(data_type, format)? });
    }
    if !inner.is_empty() {
        slots.push(Slot::Object(fields(inner, format)?));
    }
    Ok(if slots.len() == 1 { slots.swap_remove(0) } else { Slot::Several(slots) })
}

fn column(data_type: &DataType, format: TimestampFormat) -> Result<Column> {
    let kind = &data_type.kind;
    Ok(Column { kind: kind.clone(), arrow_type: arrow_type(kind), storage: storage(kind, format)? })
}

fn storage(kind: &TypeKind, format: TimestampFormat) -> Result<Storage> {
    Ok(match kind {
        TypeKind::Null => Storage::Null(Default::default()),
        TypeKind::Boolean => Storage::Boolean(Values::default()),
        TypeKind::TinyInt => Storage::TinyInt(Values::default()),
        TypeKind::SmallInt => Storage::SmallInt(Values::default()),
        TypeKind::Int | TypeKind::IntervalYearMonth => Storage::Int(Values::default()),
        TypeKind::BigInt | TypeKind::IntervalDayTime => Storage::BigInt(Values::default()),
        TypeKind::Float => Storage::Float(Values::default()),
        TypeKind::Double => Storage::Double(Values::default()),
        TypeKind::Decimal { precision, scale } => {
            Storage::Decimal { values: Values::default(), precision: *precision, scale: *scale }
        }
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => Storage::Text(Default::default()),
        TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => Storage::Binary(Default::default()),
        TypeKind::Date => Storage::Date(Values::default()),
        TypeKind::Time { precision } => Storage::Time { values: Values::default(), precision: *precision },
        TypeKind::Timestamp { precision } => timestamp(*precision, false, format),
        TypeKind::TimestampLtz { precision } => timestamp(*precision, true, format),
        TypeKind::Array(element) => Storage::List(Runs::new(Box::new(column(element, format)?))),
        TypeKind::Map(key, value) => map(kind, key, column(value, format)?, false)?,
        TypeKind::Multiset(element) => map(kind, element, column(&DataType::not_null(TypeKind::Int), format)?, true)?,
        TypeKind::Row(row) => {
            let slots = row.iter().enumerate().map(|(index, field)| {
                let column = column(&field.data_type, format).map_err(|e| e.context(&field.name))?;
                Ok((field.name.clone(), Slot::Column { index, column }))
            });
            let fields = Box::new(Fields::new(slots.collect::<Result<_>>()?));
            Storage::Row(Row { validity: Default::default(), fields })
        }
    })
}

fn timestamp(precision: u8, zoned: bool, format: TimestampFormat) -> Storage {
    let units_per_second = match time_unit(precision) {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    Storage::Timestamp {
        values: Values::default(),
        layout: TimestampLayout { format, zoned, precision, units_per_second },
    }
}

fn map(kind: &TypeKind, key: &DataType, values: Column, values_required: bool) -> Result<Storage> {
    if !key.kind.is_character() {
        return Err(Error::user_fault(format!(
            "the JSON format doesn't support a type other than a character string as the key of a map: {kind}"
        )));
    }
    let entries = Entries { keys: Default::default(), values: Box::new(values), values_required };
    Ok(Storage::Map(Runs::new(entries)))
}
