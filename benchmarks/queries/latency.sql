-- What the latency benchmark runs: every record to another topic, exactly once.
CREATE TABLE input (id BIGINT, produced_at BIGINT, extra STRING)
WITH (
  'connector' = 'kafka',
  'topic' = '${TOPIC}',
  'properties.bootstrap.servers' = '${BOOTSTRAP_SERVERS}',
  'properties.group.id' = '${JOB}',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE TABLE output (id BIGINT, produced_at BIGINT, extra STRING)
WITH (
  'connector' = 'kafka',
  'topic' = '${OUTPUT_TOPIC}',
  'properties.bootstrap.servers' = '${BOOTSTRAP_SERVERS}',
  'format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '${OUTPUT_TOPIC}'
);

INSERT INTO output SELECT id, produced_at, extra FROM input;
