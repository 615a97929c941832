//! How long one record takes to decode and one row to encode, on one core: Nexmark bids, about 335 bytes
//! of JSON each. Run with `cargo bench -p millrace-job-runtime --bench json`.

use arrow_array::RecordBatch;
use millrace_job_runtime::decode::RecordDecoder;
use millrace_job_runtime::decode::json::{JsonDecodeOptions, JsonDecoder};
use millrace_job_runtime::encode::EncodedRows;
use millrace_job_runtime::encode::json::{JsonEncodeOptions, JsonEncoder};
use millrace_job_runtime::schema::arrow_schema;
use millrace_planner::plan::{Column, Schema};
use millrace_planner::types::{DataType, TypeKind};
use std::hint::black_box;
use std::time::Instant;

const RECORDS: usize = 8192;
const ROUNDS: usize = 60;

fn main() {
    // `cargo test` runs benchmarks too: one round is enough to see that they work.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let bids = bids();
    let bytes: usize = bids.iter().map(Vec::len).sum();
    println!("{RECORDS} bids of {} bytes on average", bytes / RECORDS);

    let bigint = || DataType::nullable(TypeKind::BigInt);
    let event_type = column(&["event_type"], DataType::nullable(TypeKind::Int));
    let auction = column(&["bid", "auction"], bigint());
    let bidder = column(&["bid", "bidder"], bigint());
    let price = column(&["bid", "price"], bigint());
    let date_time = column(&["bid", "dateTime"], DataType::nullable(TypeKind::Timestamp { precision: 3 }));
    let string = |name| column(&["bid", name], DataType::string());

    let few = vec![event_type.clone(), auction.clone(), bidder.clone(), date_time.clone()];
    let mut with_extra = few.clone();
    with_extra.push(string("extra"));
    let all = vec![event_type, auction, bidder, price, string("channel"), string("url"), date_time, string("extra")];
    decode("decode nothing (validate)", &[], &bids, rounds);
    decode("decode event_type, auction, bidder, dateTime", &few, &bids, rounds);
    decode("decode the same and extra", &with_extra, &bids, rounds);
    decode("decode all of a bid", &all, &bids, rounds);

    let five = [&all[1], &all[2], &all[3], &all[6], &all[4]].map(Clone::clone);
    encode("encode auction, bidder, price, dateTime, channel", &five, &bids, rounds);
    encode("encode all of a bid", &all, &bids, rounds);
}

fn column(path: &[&str], data_type: DataType) -> (Vec<String>, DataType) {
    (path.iter().map(|step| step.to_string()).collect(), data_type)
}

fn decode(name: &str, columns: &[(Vec<String>, DataType)], records: &[Vec<u8>], rounds: usize) {
    let mut decoder = JsonDecoder::new(columns, JsonDecodeOptions::default()).expect("supported columns");
    measure(name, records.len(), rounds, || {
        for record in records {
            decoder.decode(Some(black_box(record))).expect("valid records");
        }
        black_box(decoder.finish());
    });
}

fn encode(name: &str, columns: &[(Vec<String>, DataType)], records: &[Vec<u8>], rounds: usize) {
    let mut decoder = JsonDecoder::new(columns, JsonDecodeOptions::default()).expect("supported columns");
    for record in records {
        decoder.decode(Some(record)).expect("valid records");
    }
    let last_step = |path: &[String]| path.last().expect("no path is empty").clone();
    let columns =
        columns.iter().map(|(path, data_type)| Column { name: last_step(path), data_type: data_type.clone() });
    let schema = Schema { columns: columns.collect() };
    let rows = RecordBatch::try_new(arrow_schema(&schema), decoder.finish()).expect("columns of the schema");
    let mut encoder = JsonEncoder::new(&schema, JsonEncodeOptions::default()).expect("a supported schema");
    let mut out = EncodedRows::default();
    measure(name, records.len(), rounds, || {
        out.clear();
        encoder.encode(black_box(&rows), &mut out).expect("rows that can be written");
        black_box(&out);
    });
}

/// Prints the best and the median round's time for one of `count` items.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(name: &str, count: usize, rounds: usize, mut round: impl FnMut()) {
    round();
    let mut nanos: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / count as f64
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    println!("{name:<50} {:7.1} ns, median {:7.1} ns", nanos[0], nanos[nanos.len() / 2]);
}

/// Bids as the generator of Nexmark's Flink port writes them.
fn bids() -> Vec<Vec<u8>> {
    const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    (0..RECORDS)
        .map(|n| {
            let auction = 1000 + random.below(20_000);
            let bidder = 1001 + random.below(50_000);
            let price = 100 + random.below(10_000_000);
            let channel = CHANNELS[random.below(4) as usize];
            let path = random.letters(5) + "/" + &random.letters(5);
            let second = n / 1000 % 60;
            let millis = n % 1000;
            let extra = { let length = 70 + random.below(16) as usize; random.letters(length) };
            format!(
                "{{\"event_type\":2,\"person\":null,\"auction\":null,\"bid\":{{\"auction\":{auction},\"bidder\":{bidder},\
                 \"price\":{price},\"channel\":\"{channel}\",\"url\":\"https://www.nexmark.com/{path}/item.htm?query=1\",\
                 \"dateTime\":\"2026-01-01 00:00:{second:02}.{millis:03}\",\"extra\":\"{extra}\"}}}}"
            )
            .into_bytes()
        })
        .collect()
}

/// A fixed sequence, so that every run measures the same records.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}
