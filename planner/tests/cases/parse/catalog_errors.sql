-- # a table declared twice
CREATE TABLE t (a INT);
CREATE VIEW t AS SELECT 1;
-- # a column declared twice
CREATE TABLE t (a INT, b INT, a STRING);
-- # a key that is no column
CREATE TABLE t (id INT, PRIMARY KEY (idd) NOT ENFORCED);
-- # a key that is computed
CREATE TABLE t (a INT, b AS a, PRIMARY KEY (b) NOT ENFORCED);
-- # a watermark on no column
CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR tss AS ts);
-- # a watermark on the wrong type
CREATE TABLE t (ts BIGINT, WATERMARK FOR ts AS ts);
-- # a watermark on too precise a type
CREATE TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS ts);
-- # unknown metadata
CREATE TABLE t (p INT METADATA FROM 'partitions') WITH ('connector' = 'kafka');
-- # metadata of the wrong type
CREATE TABLE t (`offset` ROW<a INT> METADATA) WITH ('connector' = 'kafka');
-- # metadata that can't be written
CREATE TABLE t (a INT, `offset` BIGINT METADATA) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
INSERT INTO t SELECT 1, 2;
-- # unknown connector
CREATE TABLE t (a INT) WITH ('connector' = 'kafak');
-- # connector of Flink
CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'url' = 'x');
-- # format of Flink
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'avro');
-- # unknown option
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topics' = 't', 'format' = 'json');
-- # unknown option of a format
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'json.ignore-parse-error' = 'true');
-- # value of an option
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json',
  'scan.startup.mode' = 'earliest');
-- # unsupported option
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'scan.watermark.alignment.group' = 'g');
-- # client property
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'properties.ssl.truststore.location' = '/x.jks');
-- # startup mode without its offsets
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'scan.startup.mode' = 'specific-offsets');
INSERT INTO t SELECT * FROM t;
-- # a sink with two topics
CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'a;b', 'format' = 'json');
INSERT INTO t SELECT 1;
-- # datagen can't be written
CREATE TABLE t (a INT) WITH ('connector' = 'datagen');
INSERT INTO t SELECT 1;
-- # datagen of an unknown column
CREATE TABLE t (amount INT) WITH ('connector' = 'datagen', 'fields.amuont.max' = '3');
-- # no such table
CREATE TABLE orders (a INT) WITH ('connector' = 'print');
INSERT INTO oders SELECT 1;
-- # no such database
INSERT INTO mydb.t SELECT 1;
-- # time zone
SET 'table.local-time-zone' = '+02:00';
-- # batch mode
SET 'execution.runtime-mode' = 'batch';
-- # drop of another kind
CREATE TABLE t (a INT);
DROP VIEW t;
-- # a hint with a wrong option
CREATE TABLE t (a INT) WITH ('connector' = 'print');
INSERT INTO t /*+ OPTIONS('print-identifer' = 'x') */ SELECT 1;
