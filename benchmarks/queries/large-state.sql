-- What the benchmark of large state runs: a group for each of {keys} keys, in a window that closes only at the end. Each
-- row is a number, from which its time and its key follow; the totals say whether any was lost or counted twice.
CREATE TABLE numbers (
  n BIGINT,
  payload STRING,
  ts AS TO_TIMESTAMP_LTZ(n, 3),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '100000000',
  'fields.n.kind' = 'sequence',
  'fields.n.start' = '0',
  'fields.n.end' = '{last_row}',
  'fields.payload.length' = '{payload}'
);

CREATE TABLE totals (k BIGINT, n BIGINT, weighted BIGINT, characters BIGINT) WITH ('connector' = 'print');

INSERT INTO totals
SELECT COUNT(*), SUM(n), SUM(k * n), SUM(CAST(CHAR_LENGTH(payload) AS BIGINT))
FROM (
  SELECT window_start, window_end, window_time, k, COUNT(*) AS n, MAX(payload) AS payload
  FROM TABLE(TUMBLE(
    (SELECT ts, MOD(n * {stride}, {keys}) AS k, payload FROM numbers), DESCRIPTOR(ts), INTERVAL '100' DAY))
  GROUP BY k, window_start, window_end, window_time
)
GROUP BY window_start, window_end, window_time;
