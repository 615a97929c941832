//! The state tables of the operator as columns: the rows that wait, and the cursor, for those who look at a
//! savepoint.

use super::state;
use crate::error::{Error, Result};
use crate::operators::state_table::{Scope, StateTable, time_field, times};
use crate::operators::window_progress::cursor_table;
use crate::row::RowReader;
use crate::schema::arrow_schema;
use arrow_array::{ArrayRef, UInt64Array};
use arrow_schema::{DataType as ArrowType, Field, SchemaRef};
use millrace_planner::plan::{self, Node, Plan, Schema};
use std::sync::Arc;

pub(crate) fn state_tables(plan: &Plan, node: &Node, join: &plan::WindowJoin) -> Result<Vec<StateTable>> {
    let input = |port: usize| {
        let found = node.inputs.get(port).and_then(|&input| plan.nodes.get(input));
        found.map(|node| &node.schema).ok_or_else(|| Error::fail_job("the plan has a join without inputs"))
    };
    let window = format!("{:?}", join.window);
    let (left, right) = (input(0)?, input(1)?);
    Ok(vec![
        rows_table(0, "left-rows", left, &join.left.keys, &window),
        rows_table(1, "right-rows", right, &join.right.keys, &window),
        cursor_table(state::CURSOR, &window),
    ])
}

fn rows_table(side: usize, name: &'static str, schema: &Schema, keys: &[usize], window: &str) -> StateTable {
    let rows: SchemaRef = arrow_schema(schema);
    let columns: Vec<String> = schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type.kind)).collect();
    let mut fields = vec![time_field("state_window_end"), Field::new("state_number", ArrowType::UInt64, false)];
    fields.extend(rows.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)));
    StateTable {
        id: state::ROWS[side],
        name,
        scope: Scope::KeyGroup,
        layout: format!("key 2 {keys:?}, row 1 ({}), {window}", columns.join(", ")),
        fields,
        decode: Box::new(move |entries| {
            let (mut ends, mut numbers) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
            let mut reader = RowReader::new(rows.clone())?;
            for (key, value) in entries {
                let (window_end, _, number) = state::parse_row_key(key)?;
                ends.push(window_end);
                numbers.push(number);
                reader.read(value)?;
            }
            let mut columns: Vec<ArrayRef> = vec![times(ends), Arc::new(UInt64Array::from(numbers))];
            columns.extend(reader.finish()?.columns().iter().cloned());
            Ok(columns)
        }),
    }
}
