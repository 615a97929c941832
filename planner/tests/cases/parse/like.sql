-- # by default all is taken and options are overwritten
CREATE TABLE source (id BIGINT, d AS id * 2, ts TIMESTAMP(3) METADATA FROM 'timestamp', PRIMARY KEY (id) NOT ENFORCED,
  WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
CREATE TABLE other (n INT) WITH ('topic' = 'b') LIKE source;
-- # only physical columns without all
CREATE TABLE source (id BIGINT, d AS id * 2, ts TIMESTAMP(3) METADATA FROM 'timestamp', PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
CREATE TABLE other WITH ('connector' = 'datagen') LIKE source (EXCLUDING ALL);
-- # overwriting what is generated
CREATE TABLE source (id BIGINT, d AS id * 2, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE other (d AS id * 3, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
  LIKE source (OVERWRITING GENERATED OVERWRITING WATERMARKS);
-- # two watermarks
CREATE TABLE source (ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE other (WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) LIKE source;
-- # the same option twice
CREATE TABLE source (a INT) WITH ('connector' = 'print');
CREATE TABLE other WITH ('connector' = 'blackhole') LIKE source (INCLUDING OPTIONS);
-- # the same column twice
CREATE TABLE source (a INT);
CREATE TABLE other (b INT,
  a STRING) LIKE source;
-- # constraints can't be overwritten
CREATE TABLE source (a INT);
CREATE TABLE other LIKE source (OVERWRITING CONSTRAINTS);
-- # like a view
CREATE VIEW source AS SELECT 1;
CREATE TABLE other LIKE source;
