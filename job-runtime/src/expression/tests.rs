//! The planner's catalogue is covered. What each function does is tested by SQL, in
//! `tests/cases/expression`.

use super::*;
use millrace_planner::expression::Function;
use millrace_planner::function::{FunctionDefinition, Parameter, ResultType, all};
use millrace_planner::types::{DataType, RowField, TypeKind};

fn nullable(kind: TypeKind) -> DataType {
    DataType::nullable(kind)
}

fn array_of_int() -> DataType {
    nullable(TypeKind::Array(Box::new(nullable(TypeKind::Int))))
}

/// Some argument that the binder could give.
fn argument(definition: &FunctionDefinition, index: usize) -> Expression {
    let timestamp = nullable(TypeKind::Timestamp { precision: 3 });
    let data_type = match definition.parameters[index.min(definition.parameters.len() - 1)] {
        Parameter::Unit => {
            let kind = ExpressionKind::Literal(Literal::String("DAY".into()));
            return Expression { kind, data_type: DataType::string() };
        }
        Parameter::Any if definition.name == "EXTRACT" => timestamp,
        Parameter::Any | Parameter::Common | Parameter::Int | Parameter::Numeric => nullable(TypeKind::Int),
        Parameter::Boolean => nullable(TypeKind::Boolean),
        Parameter::BigInt => nullable(TypeKind::BigInt),
        Parameter::Double => nullable(TypeKind::Double),
        Parameter::String => DataType::string(),
        Parameter::Bytes => nullable(TypeKind::VarBinary { length: 100 }),
        Parameter::Timestamp | Parameter::Temporal => timestamp,
        Parameter::Interval => nullable(TypeKind::IntervalDayTime),
        Parameter::Collection => array_of_int(),
    };
    Expression::column(index, data_type)
}

fn call(definition: &FunctionDefinition, count: usize) -> Expression {
    let arguments: Vec<_> = (0..count).map(|index| argument(definition, index)).collect();
    let kind = match definition.result {
        ResultType::Boolean => TypeKind::Boolean,
        ResultType::Int => TypeKind::Int,
        ResultType::BigInt => TypeKind::BigInt,
        ResultType::Double => TypeKind::Double,
        ResultType::String => DataType::string().kind,
        ResultType::Bytes => TypeKind::VarBinary { length: 100 },
        ResultType::Date => TypeKind::Date,
        ResultType::Time => TypeKind::Time { precision: 0 },
        ResultType::Timestamp => TypeKind::Timestamp { precision: 3 },
        ResultType::TimestampLtz => TypeKind::TimestampLtz { precision: 3 },
        ResultType::Argument(index) => arguments[index].data_type.kind.clone(),
        ResultType::Common => TypeKind::Int,
        ResultType::Rule if definition.name == "ROW" => {
            TypeKind::Row(vec![RowField { name: "f0".into(), data_type: nullable(TypeKind::Int) }])
        }
        ResultType::Rule if definition.name == "ARRAY" => array_of_int().kind,
        ResultType::Rule => TypeKind::Int,
    };
    let function = Function(definition.name.into());
    Expression { kind: ExpressionKind::Call { function, arguments }, data_type: nullable(kind) }
}

/// A column of NULLs and one row, of each argument's type.
fn rows(expression: &Expression) -> RecordBatch {
    use datafusion_common::arrow::array::{RecordBatchOptions, new_null_array};
    use datafusion_common::arrow::datatypes::{Field, Schema};
    let ExpressionKind::Call { arguments, .. } = &expression.kind else { unreachable!("only calls are made") };
    let types = arguments.iter().map(|a| arrow_type(&a.data_type.kind));
    let columns: Vec<ArrayRef> = types.map(|data_type| new_null_array(&data_type, 2)).collect();
    let fields: Vec<_> = columns.iter().map(|column| Field::new("c", column.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).unwrap()
}

#[test]
fn every_function_of_the_catalogue_is_implemented_and_takes_nulls() {
    let compiler = Compiler::new("Europe/Berlin").unwrap();
    for definition in all() {
        for given in definition.required..=definition.parameters.len() {
            // The binder fills in the defaults.
            let all = definition.parameters.len();
            let count = if given + definition.defaults.len() >= all { all } else { given };
            let expression = call(definition, count);
            let compiled = compiler.compile(&expression, &|column| column);
            let compiled = compiled.unwrap_or_else(|error| panic!("{} of {count}: {error}", definition.name));
            let values = evaluate(compiled.as_ref(), &rows(&expression));
            let values = values.unwrap_or_else(|error| panic!("{} of {count} NULLs: {error}", definition.name));
            let expected = arrow_type(&expression.data_type.kind);
            assert_eq!(values.data_type(), &expected, "{} of {count}", definition.name);
            assert_eq!(values.len(), 2, "{}", definition.name);
        }
    }
}

#[test]
fn an_unknown_time_zone_is_the_users_fault() {
    let error = Compiler::new("Mars/Olympus").err().expect("no such zone");
    assert_eq!(error.to_string(), "'Mars/Olympus' is not a time zone of the IANA database");
}
