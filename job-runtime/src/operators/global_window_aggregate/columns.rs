//! The state tables of the operator as columns: keys, results so far, and the cursor, for those who look at a
//! savepoint.

use super::state;
use super::table::{Layout, Table};
use crate::error::{Error, Result};
use crate::operators::state_table::{Scope, StateTable, time_field, times};
use crate::operators::window_progress::cursor_table;
use crate::schema::arrow_type;
use arrow_array::{ArrayRef, UInt8Array};
use arrow_schema::{DataType as ArrowType, Field};
use millrace_planner::plan::{Node, Plan, WindowAggregate};
use std::sync::Arc;

pub(crate) fn state_tables(plan: &Plan, node: &Node, aggregate: &WindowAggregate) -> Result<Vec<StateTable>> {
    let input = node.inputs.first().and_then(|&input| plan.nodes.get(input));
    let input = input.ok_or_else(|| Error::fail_job("the plan has an aggregation without input"))?;
    let layout = Arc::new(Layout::new(aggregate, &input.schema)?);
    let keys: Vec<Field> = aggregate
        .keys
        .iter()
        .map(|&key| {
            let column = &input.schema.columns[key];
            Field::new(&column.name, arrow_type(&column.data_type.kind), true)
        })
        .collect();
    // The operator emits its keys, then the results, under these names.
    let results = node.schema.columns.iter().skip(aggregate.keys.len()).zip(&aggregate.calls);
    let results: Vec<Field> =
        results.map(|(column, call)| Field::new(&column.name, arrow_type(&call.data_type.kind), true)).collect();
    let key_names: Vec<String> =
        aggregate.keys.iter().map(|&key| input.schema.columns[key].data_type.to_string()).collect();
    let calls: Vec<String> = aggregate.calls.iter().map(call_text).collect();
    let window = format!("{:?}", aggregate.window.kind);
    let of_groups = format!("key 1 ({}), value 2 ({}), {window}", key_names.join(", "), calls.join(", "));
    Ok(vec![
        groups_table(layout.clone(), &keys, &results, of_groups.clone()),
        values_table(layout, &keys, of_groups),
        cursor_table(state::CURSOR, &window),
    ])
}

/// The call in words, nullability aside: it changes no bytes.
fn call_text(call: &millrace_planner::plan::AggregateCall) -> String {
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let argument = call.argument_type.as_ref().map_or("*".to_owned(), |t| t.kind.to_string());
    format!("{:?}({distinct}{argument})", call.function).to_uppercase()
}

fn groups_table(layout: Arc<Layout>, keys: &[Field], results: &[Field], form: String) -> StateTable {
    let fields = [&[time_field("slice_end")], keys, results].concat();
    StateTable {
        id: state::GROUPS,
        name: "groups",
        scope: Scope::KeyGroup,
        layout: form,
        fields,
        decode: Box::new(move |entries| {
            let mut table = Table::new(&layout)?;
            let mut slice_ends = Vec::with_capacity(entries.len());
            let mut keys = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let (slice_end, group_key) = state::parse_group_key(key)?;
                slice_ends.push(slice_end);
                keys.push(group_key);
                // By the whole key, so that each entry is a group of its own.
                table.restore(key, value)?;
            }
            let groups: Vec<u32> = (0..entries.len() as u32).collect();
            let mut columns: Vec<ArrayRef> = vec![times(slice_ends)];
            columns.extend(layout.decoder.decode(&keys)?);
            columns.extend(table.call_results(&layout, &groups)?);
            Ok(columns)
        }),
    }
}

fn values_table(layout: Arc<Layout>, keys: &[Field], form: String) -> StateTable {
    let call = Field::new("call", ArrowType::UInt8, false);
    StateTable {
        id: state::VALUES,
        name: "distinct-values",
        scope: Scope::KeyGroup,
        layout: form,
        fields: [&[time_field("slice_end")], keys, &[call]].concat(),
        decode: Box::new(move |entries| {
            let parsed = entries.iter().map(|(key, _)| state::parse_value_key(key)).collect::<Result<Vec<_>>>()?;
            let keys: Vec<&[u8]> = parsed.iter().map(|(_, key, _, _)| *key).collect();
            let mut columns: Vec<ArrayRef> = vec![times(parsed.iter().map(|(slice_end, ..)| *slice_end).collect())];
            columns.extend(layout.decoder.decode(&keys)?);
            columns.push(Arc::new(UInt8Array::from_iter_values(parsed.iter().map(|(_, _, call, _)| *call))));
            Ok(columns)
        }),
    }
}
