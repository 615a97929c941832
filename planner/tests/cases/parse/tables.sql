-- # the first example
CREATE TABLE user_events (user_id STRING, `action` STRING, `timestamp` BIGINT, pt AS PROCTIME())
  WITH ('connector' = 'kafka', 'topic' = 'user-events', 'format' = 'json',
        'properties.group.id' = 'actions', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE processed_events (`action` STRING, window_start TIMESTAMP(3), n BIGINT)
  WITH ('connector' = 'kafka', 'topic' = 'processed-events', 'format' = 'json');
INSERT INTO processed_events
  SELECT `action`, window_start, COUNT(*)
  FROM TABLE(TUMBLE(TABLE user_events, DESCRIPTOR(pt), INTERVAL '1' MINUTE))
  GROUP BY `action`, window_start, window_end;
-- # all kinds of columns
CREATE TABLE IF NOT EXISTS default_catalog.default_database.bids (
  auction BIGINT NOT NULL COMMENT 'which',
  price DECIMAL(12, 2) CONSTRAINT pk PRIMARY KEY NOT ENFORCED,
  twice AS price * 2 COMMENT 'computed',
  item ROW<name STRING 'its name', tags ARRAY<STRING>, seller ROW<id BIGINT, since TIMESTAMP(3)>>,
  ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  `partition` BIGINT METADATA VIRTUAL,
  offset_text STRING METADATA FROM 'offset' VIRTUAL,
  headers MAP<STRING, BYTES> METADATA,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECONDS
) COMMENT 'bids' WITH (
  'connector' = 'kafka', 'topic' = 'bids;more-bids', 'format' = 'json', 'json.ignore-parse-errors' = 'true',
  'properties.bootstrap.servers' = 'other:9092', 'properties.fetch.min.bytes' = '1000',
  'scan.bounded.mode' = 'latest-offset', 'scan.watermark.idle-timeout' = '0'
);
-- # every type
CREATE TABLE types (
  a BOOLEAN, b TINYINT, c SMALLINT, d INT, e INTEGER, f BIGINT, g FLOAT, h DOUBLE, i DOUBLE PRECISION,
  j DECIMAL, k DEC(5), l NUMERIC(38, 38), m STRING, n BYTES, o CHAR, p CHAR(3), q CHARACTER VARYING(5),
  r VARCHAR(7), s BINARY(4), t BINARY VARYING(4), u VARBINARY(9), v DATE, w TIME, x TIME(3) WITHOUT TIME ZONE,
  y TIMESTAMP, z TIMESTAMP(9) WITHOUT TIME ZONE, aa TIMESTAMP(3) WITH LOCAL TIME ZONE, bb TIMESTAMP_LTZ,
  cc INTERVAL YEAR TO MONTH, dd INTERVAL DAY(3) TO SECOND(6), ee INTERVAL HOUR,
  ff INT ARRAY NOT NULL, gg ARRAY<ARRAY<INT NOT NULL>>, hh MAP<STRING, MAP<INT, ROW<x INT>>>,
  ii MULTISET<STRING>, jj INT NOT NULL MULTISET, kk ROW(x INT, `y z` STRING NOT NULL) NOT NULL, ll INT NULL, mm VARCHAR, nn VARBINARY, oo BINARY
);
-- # datagen, print and blackhole
CREATE TABLE numbers (n BIGINT, word STRING) WITH (
  'connector' = 'datagen', 'number-of-rows' = '10', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1',
  'fields.n.end' = '10', 'fields.word.length' = '5');
CREATE TABLE printed WITH ('connector' = 'print', 'print-identifier' = 'x') LIKE numbers (EXCLUDING ALL);
CREATE TEMPORARY TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO printed SELECT * FROM numbers;
  INSERT INTO nowhere (n) SELECT n FROM numbers;
END;
-- # options and what has no effect
SET 'table.local-time-zone' = 'Europe/Berlin';
SET table.exec.source.idle-timeout = 3 s;
SET 'execution.checkpointing.interval' = '10s';
SET 'parallelism.default' = '3';
SET 'execution.runtime-mod' = 'streaming';
SET 'my.own' = 'x';
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'properties.acks' = '1',
  'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'p', 'scan.watermark.emit.strategy' = 'on-event');
-- # key and value
CREATE TABLE t (k_id INT, k_name STRING, id INT) WITH ('connector' = 'kafka', 'topic' = 't', 'value.format' = 'json',
  'key.format' = 'json', 'key.fields' = 'k_id;k_name', 'key.fields-prefix' = 'k_', 'value.fields-include' = 'EXCEPT_KEY',
  'value.json.timestamp-format.standard' = 'ISO-8601', 'key.json.ignore-parse-errors' = 'true');
-- # a dropped table makes place for another
CREATE TABLE t (a INT);
DROP TABLE t;
DROP TABLE IF EXISTS t;
CREATE TABLE t (b INT);
CREATE TABLE IF NOT EXISTS t (c INT);
CREATE VIEW v (x) COMMENT 'a view' AS SELECT b FROM t;
