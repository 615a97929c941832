//! A plan as text: a tree for each sink, expressions as SQL, stages and exchanges marked. Not here: any
//! format that is read back; that is the plan's JSON.

mod expression;

use crate::plan::{
    AggregateCall, Node, NodeId, NotNullEnforcer, Operator, Plan, ScanColumn, SinkTarget, Window, WindowAggregate,
    WindowJoin, WindowKind, WindowProperty, WindowTime,
};
use std::fmt::Write;

impl Plan {
    /// A readable tree like Flink's EXPLAIN, from each sink down to its sources. What two operators
    /// read is printed once, and referred to after that.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        if self.time_zone != "UTC" {
            let _ = writeln!(text, "time zone {}\n", self.time_zone);
        }
        let mut printed = vec![false; self.nodes.len()];
        for (number, (sink, _)) in self.sinks().enumerate() {
            if number > 0 {
                text.push('\n');
            }
            self.explain_node(sink, 0, &mut printed, &mut text);
        }
        text
    }

    fn explain_node(&self, id: NodeId, depth: usize, printed: &mut [bool], text: &mut String) {
        let node = &self.nodes[id];
        let indent = if depth == 0 { String::new() } else { format!("{}+- ", "   ".repeat(depth - 1)) };
        // Both sides of a join can be one node.
        let is_shared = self.nodes.iter().flat_map(|node| &node.inputs).filter(|input| **input == id).nth(1).is_some();
        let mark = if is_shared { format!(" [#{id}]") } else { String::new() };
        if printed[id] {
            let _ = writeln!(text, "{indent}{} (see above){mark}", name(&node.operator));
            return;
        }
        printed[id] = true;
        let _ = writeln!(text, "{indent}{}{mark}  stage {}", describe(self, id), node.stage);
        for input in &node.inputs {
            self.explain_node(*input, depth + 1, printed, text);
        }
    }
}

/// What an operator is, for its id: without places of columns, and without what a scan reads.
pub(crate) fn identity(plan: &Plan, id: NodeId) -> String {
    match &plan.nodes[id].operator {
        Operator::Scan(scan) => format!("Scan {} {:?}", scan.table.name, scan.table.connector),
        Operator::Sink(sink) => format!("Sink {} {:?}", sink.table.name, sink.table.connector),
        _ => describe(plan, id),
    }
}

fn name(operator: &Operator) -> &'static str {
    match operator {
        Operator::Scan(_) => "Scan",
        Operator::Calc(_) => "Calc",
        Operator::Watermark(_) => "Watermark",
        Operator::WindowTableFunction(_) => "WindowTableFunction",
        Operator::LocalWindowAggregate(_) => "LocalWindowAggregate",
        Operator::GlobalWindowAggregate(_) => "GlobalWindowAggregate",
        Operator::WindowJoin(_) => "WindowJoin",
        Operator::Exchange(_) => "Exchange",
        Operator::Union => "Union",
        Operator::Values(_) => "Values",
        Operator::Sink(_) => "Sink",
    }
}

fn describe(plan: &Plan, id: NodeId) -> String {
    let node = &plan.nodes[id];
    let input: Vec<&str> = match node.inputs.first() {
        Some(input) => plan.nodes[*input].schema.columns.iter().map(|column| column.name.as_str()).collect(),
        None => Vec::new(),
    };
    let details = match &node.operator {
        Operator::Scan(scan) => {
            let columns = scan.columns.iter().zip(&node.schema.columns).map(|(scanned, column)| match scanned {
                ScanColumn::Physical { path } => format!("{} {}", path.join("."), column.data_type),
                ScanColumn::Metadata { key } => format!("METADATA '{key}' {}", column.data_type),
            });
            format!("table={}, columns=[{}]", short(&scan.table.name), joined(columns))
        }
        Operator::Calc(calc) => {
            let projection = calc.projection.iter().zip(&node.schema.columns).map(|(value, column)| {
                let text = expression::print(value, &input);
                if text == column.name { text } else { format!("{text} AS {}", column.name) }
            });
            let filter = calc.filter.as_ref().map(|filter| format!(", where=[{}]", expression::print(filter, &input)));
            format!("select=[{}]{}", joined(projection), filter.unwrap_or_default())
        }
        Operator::Watermark(watermark) => {
            format!("{} AS {}", input[watermark.column], expression::print(&watermark.expression, &input))
        }
        Operator::WindowTableFunction(function) => window(&function.window, &input),
        Operator::LocalWindowAggregate(aggregate) => local(aggregate, &input),
        Operator::GlobalWindowAggregate(aggregate) => global(aggregate, node, &input),
        Operator::WindowJoin(join) => window_join(plan, node, join),
        Operator::Exchange(exchange) if exchange.keys.is_empty() => "to one task".to_owned(),
        Operator::Exchange(exchange) => format!("hash=[{}]", names(&exchange.keys, &input)),
        Operator::Union => format!("all=[{}]", joined(node.schema.columns.iter().map(|column| column.name.clone()))),
        Operator::Values(values) => {
            let rows = values.rows.iter().map(|row| {
                let row = row.iter().zip(&node.schema.columns);
                format!(
                    "({})",
                    joined(row.map(|(value, column)| expression::print_literal(value, &column.data_type.kind)))
                )
            });
            format!("rows=[{}]", joined(rows))
        }
        Operator::Sink(sink) => {
            let targets = sink.targets.iter().map(|target| match target {
                SinkTarget::Physical { name } => name.clone(),
                SinkTarget::Metadata { key } => format!("METADATA '{key}'"),
            });
            let enforcer = match sink.not_null {
                NotNullEnforcer::Error => "",
                NotNullEnforcer::Drop => ", not-null-enforcer=[DROP]",
            };
            format!("table={}, columns=[{}]{enforcer}", short(&sink.table.name), joined(targets))
        }
    };
    format!("{}({details})", name(&node.operator))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// There is one catalog with one database.
fn short(table: &str) -> &str {
    table.rsplit('.').next().unwrap_or(table)
}

fn names(columns: &[usize], input: &[&str]) -> String {
    joined(columns.iter().map(|column| input[*column].to_owned()))
}

fn window(window: &Window, input: &[&str]) -> String {
    let time = match window.time {
        WindowTime::Event { column, .. } => input[column],
        WindowTime::Processing => "processing",
    };
    format!("window={}, time=[{time}]", window_kind(window.kind))
}

/// A window's function with its intervals.
pub(crate) fn window_kind(kind: WindowKind) -> String {
    let (mut text, offset) = match kind {
        WindowKind::Tumble { size, offset } => (format!("TUMBLE(size=[{}]", duration(size)), offset),
        WindowKind::Hop { size, slide, offset } => {
            (format!("HOP(size=[{}], slide=[{}]", duration(size), duration(slide)), offset)
        }
        WindowKind::Cumulate { size, step, offset } => {
            (format!("CUMULATE(size=[{}], step=[{}]", duration(size), duration(step)), offset)
        }
    };
    if offset != 0 {
        let _ = write!(text, ", offset=[{}]", duration(offset));
    }
    text + ")"
}

fn window_join(plan: &Plan, node: &Node, join: &WindowJoin) -> String {
    let of_side = |input: usize, side: &str| {
        let columns = plan.nodes[node.inputs[input]].schema.columns.iter();
        columns.map(|column| format!("{side}.{}", column.name)).collect::<Vec<_>>()
    };
    let (left, right) = (of_side(0, "left"), of_side(1, "right"));
    let pairs = join.left.keys.iter().zip(&join.right.keys);
    let keys = pairs.map(|(one, other)| format!("{} = {}", left[*one], right[*other]));
    let both: Vec<&str> = left.iter().chain(&right).map(String::as_str).collect();
    let condition =
        join.condition.as_ref().map(|condition| format!(", where=[{}]", expression::print(condition, &both)));
    let output = join.output.iter().zip(&node.schema.columns).map(|(index, column)| match both[*index] {
        text if text.split_once('.').is_some_and(|(_, name)| name == column.name) => text.to_owned(),
        text => format!("{text} AS {}", column.name),
    });
    format!(
        "window={}, on=[{}]{}, select=[{}]",
        window_kind(join.window),
        joined(keys),
        condition.unwrap_or_default(),
        joined(output)
    )
}

/// In the largest unit that divides it.
fn duration(millis: i64) -> String {
    const UNITS: &[(i64, &str)] = &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match UNITS.iter().find(|(size, _)| millis != 0 && millis % size == 0) {
        Some((size, unit)) => format!("{} {unit}", millis / size),
        None => format!("{millis} ms"),
    }
}

fn call(call: &AggregateCall, argument: &str, filter: Option<&str>) -> String {
    let function = format!("{:?}", call.function).to_uppercase();
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = filter.map(|filter| format!(" FILTER {filter}")).unwrap_or_default();
    format!("{function}({distinct}{argument}){filter}")
}

fn local(aggregate: &WindowAggregate, input: &[&str]) -> String {
    let calls = aggregate.calls.iter().map(|one| {
        let argument = one.argument.map_or("*", |argument| input[argument]);
        call(one, argument, one.filter.map(|filter| input[filter]))
    });
    format!(
        "{}, group=[{}], calls=[{}]",
        window(&aggregate.window, input),
        names(&aggregate.keys, input),
        joined(calls)
    )
}

fn global(aggregate: &WindowAggregate, node: &Node, input: &[&str]) -> String {
    let results = node.schema.columns.iter().skip(aggregate.keys.len());
    let calls = aggregate.calls.iter().zip(results).map(|(one, result)| {
        let first = one.argument.unwrap_or_default();
        let parts = names(&(first..first + one.partial.len()).collect::<Vec<_>>(), input);
        format!("{} AS {}", call(one, &parts, None), result.name)
    });
    let properties = aggregate.properties.iter().map(|property| {
        match property {
            WindowProperty::Start => "window_start",
            WindowProperty::End => "window_end",
            WindowProperty::Time => "window_time",
        }
        .to_owned()
    });
    format!(
        "{}, group=[{}], calls=[{}], properties=[{}]",
        window(&aggregate.window, input),
        names(&aggregate.keys, input),
        joined(calls),
        joined(properties)
    )
}
