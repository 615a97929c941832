//! From the bytes of rows back to columns. They come from restored state, so every byte is checked.

use super::ROW_VERSION;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use arrow_array::{RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, MutableBuffer, NullBufferBuilder};
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType as ArrowType, SchemaRef};

/// Collects rows of one schema.
pub struct RowReader {
    schema: SchemaRef,
    columns: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

/// A column under construction.
struct Cells {
    data_type: ArrowType,
    nulls: NullBufferBuilder,
    rows: usize,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanBufferBuilder),
    Fixed { bytes: MutableBuffer, width: usize },
    Bytes { ends: Vec<i32>, bytes: Vec<u8> },
    Row(Vec<Cells>),
    Array { ends: Vec<i32>, elements: Box<Cells> },
    Map { ends: Vec<i32>, entries: Box<[Cells; 2]>, entry_type: ArrowType },
}

impl RowReader {
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Cells::new(field.data_type())).collect::<Result<_>>()?;
        Ok(Self { schema, columns, rows: 0, bytes: 0 })
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Of the rows as they came.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row; after an error nothing can be done with this reader.
    pub fn read(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = match bytes.split_first() {
            Some((&ROW_VERSION, rest)) => rest,
            Some((version, _)) => return Err(corrupt(format!("version {version}"))),
            None => return Err(corrupt("no bytes")),
        };
        read_row(&mut self.columns, &mut rest)?;
        if !rest.is_empty() {
            return Err(corrupt(format!("{} bytes too many", rest.len())));
        }
        self.rows += 1;
        self.bytes += bytes.len();
        Ok(())
    }

    /// The rows since the last call.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let next = Self::new(self.schema.clone())?;
        let Self { schema, columns, rows, .. } = std::mem::replace(self, next);
        let columns = columns.into_iter().map(|cells| Ok(make_array(cells.finish()?))).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options).or_kind(ErrorKind::FailJob, "reading kept rows")
    }
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::fail_job(format!("not a row of this operator: {what}"))
}

impl Cells {
    fn new(data_type: &ArrowType) -> Result<Self> {
        let values = match data_type {
            ArrowType::Null => Values::Null,
            ArrowType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            ArrowType::Utf8 | ArrowType::Binary => Values::Bytes { ends: vec![0], bytes: Vec::new() },
            ArrowType::Struct(fields) => {
                Values::Row(fields.iter().map(|field| Self::new(field.data_type())).collect::<Result<_>>()?)
            }
            ArrowType::List(element) => {
                Values::Array { ends: vec![0], elements: Box::new(Self::new(element.data_type())?) }
            }
            ArrowType::Map(entry, _) => match entry.data_type() {
                entry_type @ ArrowType::Struct(fields) if fields.len() == 2 => {
                    let entries = [Self::new(fields[0].data_type())?, Self::new(fields[1].data_type())?];
                    Values::Map { ends: vec![0], entries: Box::new(entries), entry_type: entry_type.clone() }
                }
                other => return Err(Error::fail_job(format!("a MAP has no entries of type {other}"))),
            },
            other => {
                let width = other
                    .primitive_width()
                    .ok_or_else(|| Error::fail_job(format!("a row with a column of type {other} can't be kept")))?;
                Values::Fixed { bytes: MutableBuffer::new(0), width }
            }
        };
        Ok(Self { data_type: data_type.clone(), nulls: NullBufferBuilder::new(0), rows: 0, values })
    }

    /// Adds a NULL.
    fn skip(&mut self) {
        self.rows += 1;
        self.nulls.append_null();
        match &mut self.values {
            Values::Null => {}
            Values::Boolean(values) => values.append(false),
            Values::Fixed { bytes, width } => bytes.extend_zeros(*width),
            Values::Bytes { ends, .. } | Values::Array { ends, .. } | Values::Map { ends, .. } => {
                ends.push(ends[ends.len() - 1]);
            }
            Values::Row(fields) => fields.iter_mut().for_each(Self::skip),
        }
    }

    /// Adds the value at the front of `rest`.
    fn read(&mut self, rest: &mut &[u8]) -> Result<()> {
        self.rows += 1;
        self.nulls.append_non_null();
        match &mut self.values {
            Values::Null => return Err(corrupt("a NULL with a value")),
            Values::Boolean(values) => values.append(match take(rest, 1)? {
                [0] => false,
                [1] => true,
                other => return Err(corrupt(format!("a BOOLEAN of {other:?}"))),
            }),
            Values::Fixed { bytes, width } => bytes.extend_from_slice(take(rest, *width)?),
            Values::Bytes { ends, bytes } => {
                let length = read_length(rest)?;
                bytes.extend_from_slice(take(rest, length)?);
                ends.push(end(ends, length)?);
            }
            Values::Row(fields) => read_row(fields, rest)?,
            Values::Array { ends, elements } => {
                let length = read_length(rest)?;
                read_elements(elements, length, rest)?;
                ends.push(end(ends, length)?);
            }
            Values::Map { ends, entries, .. } => {
                let length = read_length(rest)?;
                entries.iter_mut().try_for_each(|cells| read_elements(cells, length, rest))?;
                ends.push(end(ends, length)?);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayData> {
        let Self { data_type, mut nulls, rows, values } = self;
        let builder = ArrayDataBuilder::new(data_type).len(rows);
        let builder = match values {
            Values::Null => builder,
            Values::Boolean(mut values) => builder.add_buffer(values.finish().into_inner()).nulls(nulls.finish()),
            Values::Fixed { bytes, .. } => builder.add_buffer(bytes.into()).nulls(nulls.finish()),
            Values::Bytes { ends, bytes } => {
                builder.buffers(vec![Buffer::from_vec(ends), Buffer::from_vec(bytes)]).nulls(nulls.finish())
            }
            Values::Row(fields) => {
                let fields = fields.into_iter().map(Self::finish).collect::<Result<_>>()?;
                builder.child_data(fields).nulls(nulls.finish())
            }
            Values::Array { ends, elements } => {
                builder.add_buffer(Buffer::from_vec(ends)).add_child_data(elements.finish()?).nulls(nulls.finish())
            }
            Values::Map { ends, entries, entry_type } => {
                let [keys, values] = *entries;
                let length = keys.rows;
                let entries = ArrayDataBuilder::new(entry_type)
                    .len(length)
                    .child_data(vec![keys.finish()?, values.finish()?])
                    .build()
                    .or_kind(ErrorKind::FailJob, "reading the entries of a kept MAP")?;
                builder.add_buffer(Buffer::from_vec(ends)).add_child_data(entries).nulls(nulls.finish())
            }
        };
        // With all of Arrow's checks: that strings are UTF-8, for one.
        builder.build().or_kind(ErrorKind::FailJob, "reading a column of kept rows")
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    rest.split_off(..length).ok_or_else(|| corrupt("it ends early"))
}

fn read_length(rest: &mut &[u8]) -> Result<usize> {
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = take(rest, 1)?[0];
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(corrupt("a length of more than five bytes"))
}

fn end(ends: &[i32], length: usize) -> Result<i32> {
    let last = ends[ends.len() - 1];
    let end = i32::try_from(length).ok().and_then(|length| last.checked_add(length));
    end.ok_or_else(|| corrupt("more than 2 GiB of rows in one batch"))
}

fn read_row(columns: &mut [Cells], rest: &mut &[u8]) -> Result<()> {
    let bitmap = take(rest, columns.len().div_ceil(8))?;
    for (index, cells) in columns.iter_mut().enumerate() {
        if is_set(bitmap, index) { cells.read(rest)? } else { cells.skip() }
    }
    Ok(())
}

fn read_elements(cells: &mut Cells, length: usize, rest: &mut &[u8]) -> Result<()> {
    let bitmap = take(rest, length.div_ceil(8))?;
    for index in 0..length {
        if is_set(bitmap, index) { cells.read(rest)? } else { cells.skip() }
    }
    Ok(())
}

fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap[index / 8] >> (index % 8) & 1 == 1
}
