-- What the exchange benchmark runs: every record goes to the task that owns its id, twice, as it is. What the join
-- makes of them is of no interest.
CREATE TABLE input (
  id BIGINT, produced_at BIGINT, extra STRING,
  `at` AS TO_TIMESTAMP_LTZ(produced_at / 1000, 3),
  WATERMARK FOR `at` AS `at` - INTERVAL '1' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '${TOPIC}',
  'properties.bootstrap.servers' = '${BOOTSTRAP_SERVERS}',
  'properties.group.id' = '${JOB}',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE TABLE output (id BIGINT, extra STRING) WITH ('connector' = 'blackhole');

INSERT INTO output
SELECT l.id, r.extra
FROM (SELECT * FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(`at`), INTERVAL '1' SECOND))) l
JOIN (SELECT * FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(`at`), INTERVAL '1' SECOND))) r
ON l.id = r.id AND l.window_start = r.window_start AND l.window_end = r.window_end;
