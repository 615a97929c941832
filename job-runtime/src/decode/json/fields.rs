//! The projection as a tree: an object of the document, the fields of it that are wanted, and for each of
//! them a column or a deeper object. The record itself, the objects on a column's path and the ROW columns
//! are all the same here.

use super::column::Column;
use super::fault::{Fault, Parsed};
use super::keys::Keys;
use super::read::Rules;
use super::scan::Cursor;
use arrow_array::ArrayRef;

/// The wanted fields of an object.
pub(super) struct Fields {
    keys: Keys,
    names: Vec<String>,
    slots: Vec<Slot>,
    rows: usize,
    /// For each field, the last object that had it, by number.
    seen: Vec<u64>,
    object: u64,
}

/// What becomes of a field's value.
pub(super) enum Slot {
    /// It is the `index`th column of whom it is decoded for.
    Column { index: usize, column: Column },
    /// Only fields in it are wanted.
    Object(Fields),
    /// It is wanted more than once.
    Several(Vec<Slot>),
}

impl Fields {
    pub(super) fn new(fields: Vec<(String, Slot)>) -> Self {
        let (names, slots): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let keys = Keys::new(names.iter().map(String::as_str));
        let seen = vec![0; slots.len()];
        Self { keys, names, slots, rows: 0, seen, object: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Reads the object whose `{` is under the cursor.
    pub(super) fn append_object(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        cursor.open()?;
        self.object += 1;
        let mut missing = self.slots.len();
        let mut progress = self.keys.start();
        while let Some(field) = self.keys.next(cursor, &mut progress)? {
            cursor.skip_whitespace();
            let Some(field) = field else {
                cursor.skip_value()?;
                continue;
            };
            let field = field as usize;
            let slot = &mut self.slots[field];
            if self.seen[field] == self.object {
                // Of a key that comes again, the last value counts.
                slot.truncate(self.rows);
            } else {
                self.seen[field] = self.object;
                missing -= 1;
            }
            if let Err(fault) = slot.append(cursor, rules) {
                return Err(fault.within(&self.names[field]));
            }
        }
        cursor.close();
        if missing > 0 {
            self.append_missing(cursor, rules)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn append_missing(&mut self, cursor: &Cursor<'_>, rules: &Rules) -> Parsed {
        let missing =
            self.seen.iter().zip(&mut self.slots).zip(&self.names).filter(|((seen, _), _)| **seen != self.object);
        for ((_, slot), name) in missing {
            if rules.fail_on_missing_field {
                return Err(Fault::value(cursor.pos, "the field is missing").within(name));
            }
            slot.append_null();
        }
        Ok(())
    }

    pub(super) fn append_null(&mut self) {
        self.slots.iter_mut().for_each(Slot::append_null);
        self.rows += 1;
    }

    /// Keeps the first `rows` rows. Also takes back what a row that failed halfway has left behind.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.slots.iter_mut().for_each(|slot| slot.truncate(rows));
        self.rows = self.rows.min(rows);
    }

    /// Takes the `count` columns.
    pub(super) fn finish(&mut self, count: usize) -> Vec<ArrayRef> {
        let mut columns = vec![None; count];
        self.finish_into(&mut columns);
        columns.into_iter().map(|column| column.expect("every column has its place in the tree")).collect()
    }

    fn finish_into(&mut self, columns: &mut [Option<ArrayRef>]) {
        self.slots.iter_mut().for_each(|slot| slot.finish_into(columns));
        self.rows = 0;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.iter().map(Slot::memory_bytes).sum()
    }
}

impl Slot {
    /// Reads the value under the cursor.
    #[inline]
    fn append(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        match self {
            Self::Column { column, .. } => column.append(cursor, rules),
            Self::Object(fields) => fields.append_step(cursor, rules),
            Self::Several(slots) => {
                let start = cursor.mark();
                slots.iter_mut().try_for_each(|slot| {
                    cursor.rewind(start);
                    slot.append(cursor, rules)
                })
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Column { column, .. } => column.append_null(),
            Self::Object(fields) => fields.append_null(),
            Self::Several(slots) => slots.iter_mut().for_each(Self::append_null),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Column { column, .. } => column.truncate(rows),
            Self::Object(fields) => fields.truncate(rows),
            Self::Several(slots) => slots.iter_mut().for_each(|slot| slot.truncate(rows)),
        }
    }

    fn finish_into(&mut self, columns: &mut [Option<ArrayRef>]) {
        match self {
            Self::Column { index, column } => columns[*index] = Some(column.finish()),
            Self::Object(fields) => fields.finish_into(columns),
            Self::Several(slots) => slots.iter_mut().for_each(|slot| slot.finish_into(columns)),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Column { column, .. } => column.memory_bytes(),
            Self::Object(fields) => fields.memory_bytes(),
            Self::Several(slots) => slots.iter().map(Self::memory_bytes).sum(),
        }
    }
}

impl Fields {
    /// Reads an object on the way to columns, or NULL in its place.
    fn append_step(&mut self, cursor: &mut Cursor<'_>, rules: &mut Rules) -> Parsed {
        match cursor.peek() {
            b'{' => self.append_object(cursor, rules),
            b'n' => {
                cursor.literal(b"null")?;
                self.append_null();
                Ok(())
            }
            _ if rules.ignore_parse_errors => {
                cursor.skip_value()?;
                self.append_null();
                Ok(())
            }
            _ => Err(Fault::not_a(cursor.pos, cursor.rest(), "ROW")),
        }
    }
}
