//! `millrace run --bounded --sql FILE`: files of Flink SQL that end with their input, with exactly the rows
//! that Flink gives, and from the beginning each time.

use super::harness::{Kafka, Record, run_bounded};
use serde_json::{Value, json};

/// The rows of a topic, in an order that doesn't depend on partitions.
fn rows(records: &[Record]) -> Vec<Value> {
    sorted(records.iter().map(Record::json).collect())
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

/// Writes each line to a partition in turn.
fn fill(kafka: &Kafka, topic: &str, partitions: i32, lines: &[&str]) {
    let producer = kafka.producer();
    for (line, partition) in lines.iter().zip((0..partitions).cycle()) {
        producer.send(topic, partition, None, line);
    }
    producer.flush();
}

fn kafka_table(topic: &str) -> String {
    format!("'connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset'")
}

#[test]
fn an_etl_job_reads_nested_rows_and_metadata_and_writes_keys() {
    let Some(kafka) = Kafka::apache("etl") else { return };
    let (from, to) = (kafka.topic("orders", 1), kafka.topic("flat", 2));
    let producer = kafka.producer();
    producer.send(
        &from,
        0,
        Some(r#"{"region":"eu"}"#),
        r#"{"id":1,"customer":{"name":"Ada","address":{"city":"Köln"}},"items":[{"sku":"a","n":2},{"sku":"b","n":1}]}"#,
    );
    producer.send(
        &from,
        0,
        Some(r#"{"region":"us"}"#),
        r#"{"id":2,"customer":{"name":"Bob","address":null},"items":[]}"#,
    );
    producer.send(&from, 0, Some(r#"{"region":"eu"}"#), r#"{"id":3,"customer":{"name":null}}"#);
    producer.flush();
    let ended = run_bounded(
        &kafka,
        &format!(
            "CREATE TABLE orders (
               region STRING,
               id INT,
               customer ROW<name STRING, address ROW<city STRING>>,
               items ARRAY<ROW<sku STRING, n INT>>,
               record_offset BIGINT METADATA FROM 'offset' VIRTUAL,
               `partition` INT METADATA VIRTUAL
             ) WITH ('connector' = 'kafka', 'topic' = '{from}', 'scan.startup.mode' = 'earliest-offset',
                     'key.format' = 'json', 'key.fields' = 'region',
                     'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY');
             CREATE TABLE flat (
               id INT, region STRING, name STRING, city STRING, first_sku STRING, record_offset BIGINT, p INT
             ) WITH ('connector' = 'kafka', 'topic' = '{to}', 'key.format' = 'json', 'key.fields' = 'id',
                     'value.format' = 'json');
             INSERT INTO flat
             SELECT id, UPPER(region), customer.name, customer.address.city, items[1].sku, record_offset, `partition`
             FROM orders WHERE id <> 4;"
        ),
    );
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    let records = kafka.read(&to);
    let expected = [
        json!({"id": 1, "region": "EU", "name": "Ada", "city": "Köln", "first_sku": "a", "record_offset": 0, "p": 0}),
        json!({"id": 2, "region": "US", "name": "Bob", "city": null, "first_sku": null, "record_offset": 1, "p": 0}),
        json!({"id": 3, "region": "EU", "name": null, "city": null, "first_sku": null, "record_offset": 2, "p": 0}),
    ];
    assert_eq!(rows(&records), sorted(expected.to_vec()));
    for record in records {
        assert_eq!(record.key_text(), Some(json!({"id": record.json()["id"]}).to_string()));
    }
}

#[test]
fn metadata_is_written_where_a_table_declares_it() {
    let Some(kafka) = Kafka::apache("metadata") else { return };
    let (from, to) = (kafka.topic("in", 1), kafka.topic("out", 1));
    fill(&kafka, &from, 1, &[r#"{"id":1,"at":"2024-02-29 23:59:59.123"}"#]);
    run_bounded(
        &kafka,
        &format!(
            "CREATE TABLE source (id INT, `at` TIMESTAMP(3)) WITH ({});
             CREATE TABLE sink (id INT, event_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp')
             WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
             INSERT INTO sink SELECT id, CAST(`at` AS TIMESTAMP_LTZ(3)) FROM source;",
            kafka_table(&from)
        ),
    );
    let records = kafka.read(&to);
    assert_eq!(rows(&records), [json!({"id": 1})]);
    assert_eq!(records[0].timestamp, Some(1_709_251_199_123));
}

/// Events of three seconds and two keys, in two partitions.
const CLICKS: [&str; 8] = [
    r#"{"k":"a","v":1,"ts":"2025-06-01 00:00:00.100"}"#,
    r#"{"k":"b","v":2,"ts":"2025-06-01 00:00:00.900"}"#,
    r#"{"k":"a","v":3,"ts":"2025-06-01 00:00:01.500"}"#,
    r#"{"k":"a","v":4,"ts":"2025-06-01 00:00:00.500"}"#,
    r#"{"k":"b","v":5,"ts":"2025-06-01 00:00:02"}"#,
    r#"{"k":"a","v":6,"ts":"2025-06-01 00:00:02.999"}"#,
    r#"{"k":"a","v":null,"ts":"2025-06-01 00:00:03"}"#,
    r#"{"k":"b","v":7,"ts":"2025-06-01 00:00:01"}"#,
];

/// A job that counts clicks in windows.
fn windowed(from: &str, to: &str, function: &str) -> String {
    format!(
        "CREATE TABLE clicks (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
         WITH ({});
         CREATE TABLE counts (s TIMESTAMP(3), e TIMESTAMP(3), k STRING, n BIGINT, v BIGINT, total INT, mean INT, top INT)
         WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
         INSERT INTO counts
         SELECT window_start, window_end, k, COUNT(*), COUNT(v), SUM(v), AVG(v), MAX(v) FILTER (WHERE v > 1)
         FROM TABLE({function}) GROUP BY window_start, window_end, k;",
        kafka_table(from)
    )
}

/// A row of `counts`; times are seconds after the first.
fn count(window: (i64, i64), k: &str, counts: (i64, i64), of_values: (Value, Value, Value)) -> Value {
    let time = |second: i64| {
        let millis = super::events::BASE + second * 1000;
        let time = chrono::DateTime::from_timestamp_millis(millis).expect("a year of four digits");
        time.format("%Y-%m-%d %H:%M:%S").to_string()
    };
    let (n, v) = counts;
    let (total, mean, top) = of_values;
    json!({"s": time(window.0), "e": time(window.1), "k": k, "n": n, "v": v, "total": total, "mean": mean, "top": top})
}

fn numbers(total: i64, mean: i64, top: i64) -> (Value, Value, Value) {
    (total.into(), mean.into(), top.into())
}

#[test]
fn tumbling_windows_close_at_the_end_of_the_input() {
    let Some(kafka) = Kafka::apache("tumble") else { return };
    let (from, to) = (kafka.topic("clicks", 2), kafka.topic("counts", 2));
    fill(&kafka, &from, 2, &CLICKS);
    run_bounded(&kafka, &windowed(&from, &to, "TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' SECOND)"));
    let expected = vec![
        count((0, 1), "a", (2, 2), numbers(5, 2, 4)),
        count((0, 1), "b", (1, 1), numbers(2, 2, 2)),
        count((1, 2), "a", (1, 1), numbers(3, 3, 3)),
        count((1, 2), "b", (1, 1), numbers(7, 7, 7)),
        count((2, 3), "a", (1, 1), numbers(6, 6, 6)),
        count((2, 3), "b", (1, 1), numbers(5, 5, 5)),
        count((3, 4), "a", (1, 0), (Value::Null, Value::Null, Value::Null)),
    ];
    assert_eq!(rows(&kafka.read(&to)), sorted(expected));
}

#[test]
fn hopping_windows_overlap() {
    let Some(kafka) = Kafka::apache("hop") else { return };
    let (from, to) = (kafka.topic("clicks", 2), kafka.topic("counts", 2));
    fill(&kafka, &from, 2, &CLICKS);
    let hop = "HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND)";
    run_bounded(&kafka, &windowed(&from, &to, hop));
    let expected = vec![
        count((-1, 1), "a", (2, 2), numbers(5, 2, 4)),
        count((-1, 1), "b", (1, 1), numbers(2, 2, 2)),
        count((0, 2), "a", (3, 3), numbers(8, 2, 4)),
        count((0, 2), "b", (2, 2), numbers(9, 4, 7)),
        count((1, 3), "a", (2, 2), numbers(9, 4, 6)),
        count((1, 3), "b", (2, 2), numbers(12, 6, 7)),
        count((2, 4), "a", (2, 1), numbers(6, 6, 6)),
        count((2, 4), "b", (1, 1), numbers(5, 5, 5)),
        count((3, 5), "a", (1, 0), (Value::Null, Value::Null, Value::Null)),
    ];
    assert_eq!(rows(&kafka.read(&to)), sorted(expected));
}

#[test]
fn cumulating_windows_grow_step_by_step() {
    let Some(kafka) = Kafka::apache("cumulate") else { return };
    let (from, to) = (kafka.topic("clicks", 2), kafka.topic("counts", 2));
    fill(&kafka, &from, 2, &CLICKS);
    let cumulate = "CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND)";
    run_bounded(&kafka, &windowed(&from, &to, cumulate));
    let expected = vec![
        count((0, 1), "a", (2, 2), numbers(5, 2, 4)),
        count((0, 1), "b", (1, 1), numbers(2, 2, 2)),
        count((0, 2), "a", (3, 3), numbers(8, 2, 4)),
        count((0, 2), "b", (2, 2), numbers(9, 4, 7)),
        count((2, 3), "a", (1, 1), numbers(6, 6, 6)),
        count((2, 3), "b", (1, 1), numbers(5, 5, 5)),
        count((2, 4), "a", (2, 1), numbers(6, 6, 6)),
        count((2, 4), "b", (1, 1), numbers(5, 5, 5)),
    ];
    assert_eq!(rows(&kafka.read(&to)), sorted(expected));
}

#[test]
fn statements_of_a_set_share_their_source_and_views_stand_for_their_queries() {
    let Some(kafka) = Kafka::apache("set") else { return };
    let (from, even, odd) = (kafka.topic("numbers", 3), kafka.topic("even", 1), kafka.topic("odd", 1));
    let lines: Vec<String> = (1..=9).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    fill(&kafka, &from, 3, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    run_bounded(
        &kafka,
        &format!(
            "CREATE TABLE numbers (n INT) WITH ({});
             CREATE TABLE even (n INT, square INT) WITH ('connector' = 'kafka', 'topic' = '{even}', 'format' = 'json');
             CREATE TABLE odd_numbers (n INT, square INT) WITH ('connector' = 'kafka', 'topic' = '{odd}', 'format' = 'json');
             CREATE VIEW squares AS SELECT n, n * n AS square FROM numbers;
             CREATE TEMPORARY VIEW even_squares AS SELECT * FROM squares WHERE MOD(n, 2) = 0;
             EXECUTE STATEMENT SET BEGIN
               INSERT INTO even SELECT * FROM even_squares;
               INSERT INTO odd_numbers SELECT n, square FROM squares WHERE MOD(n, 2) = 1;
             END;",
            kafka_table(&from)
        ),
    );
    let square = |n: i64| json!({"n": n, "square": n * n});
    assert_eq!(rows(&kafka.read(&even)), (1..=4).map(|n| square(2 * n)).collect::<Vec<_>>());
    assert_eq!(rows(&kafka.read(&odd)), (0..=4).map(|n| square(2 * n + 1)).collect::<Vec<_>>());
}

#[test]
fn every_run_reads_everything_again() {
    let Some(kafka) = Kafka::apache("again") else { return };
    let (from, to) = (kafka.topic("in", 2), kafka.topic("out", 1));
    let sql = format!(
        "CREATE TABLE source (n INT) WITH ({});
         CREATE TABLE sink (n INT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
         INSERT INTO sink SELECT n FROM source;",
        kafka_table(&from)
    );
    fill(&kafka, &from, 2, &[r#"{"n":1}"#, r#"{"n":2}"#]);
    run_bounded(&kafka, &sql);
    assert_eq!(rows(&kafka.read(&to)), [json!({"n": 1}), json!({"n": 2})]);
    fill(&kafka, &from, 2, &[r#"{"n":3}"#]);
    run_bounded(&kafka, &sql);
    let twice = [1, 1, 2, 2, 3].map(|n| json!({"n": n}));
    assert_eq!(rows(&kafka.read(&to)), twice);
}

#[test]
fn a_topic_without_records_is_read_to_its_end_too() {
    let Some(kafka) = Kafka::apache("empty") else { return };
    let (from, to) = (kafka.topic("clicks", 2), kafka.topic("counts", 1));
    run_bounded(&kafka, &windowed(&from, &to, "TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' SECOND)"));
    assert!(kafka.read(&to).is_empty());
}

#[test]
fn generated_rows_are_printed_as_many_as_were_asked_for() {
    let Some(kafka) = Kafka::apache("datagen") else { return };
    let ended = run_bounded(
        &kafka,
        "CREATE TABLE numbers (n BIGINT, word STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '100',
           'rows-per-second' = '100000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000',
           'fields.word.length' = '3');
         CREATE TABLE shown (n BIGINT, length INT) WITH ('connector' = 'print');
         INSERT INTO shown SELECT n, CHAR_LENGTH(word) FROM numbers;",
    );
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    lines.sort_by_key(|line| line.len());
    let expected: Vec<String> = (1..=100).map(|n| format!("+I[{n}, 3]")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn values_are_inserted_once() {
    let Some(kafka) = Kafka::apache("values") else { return };
    let to = kafka.topic("out", 1);
    run_bounded(
        &kafka,
        &format!(
            "CREATE TABLE sink (id INT, name STRING, price DECIMAL(10, 2), born DATE)
             WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
             INSERT INTO sink VALUES (1, 'one', 1.50, DATE '2024-02-29'), (2, CAST(NULL AS STRING), 2.25, DATE '1970-01-01');",
        ),
    );
    let expected = vec![
        json!({"id": 1, "name": "one", "price": 1.5, "born": "2024-02-29"}),
        json!({"id": 2, "name": null, "price": 2.25, "born": "1970-01-01"}),
    ];
    assert_eq!(rows(&kafka.read(&to)), sorted(expected));
}

#[test]
fn a_run_leaves_no_topic_behind() {
    let Some(kafka) = Kafka::apache("clean") else { return };
    let to = kafka.topic("out", 1);
    run_bounded(
        &kafka,
        &format!(
            "CREATE TABLE sink (id INT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'json');
             INSERT INTO sink VALUES (1);"
        ),
    );
    // The job is named after its file, and its topics after the job.
    assert_eq!(kafka.own_topics(), [to]);
}
