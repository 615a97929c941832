CREATE TABLE t (id BIGINT, `time` TIMESTAMP(3) METADATA FROM 'timestamp', `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL, headers MAP<STRING, BYTES> METADATA, WATERMARK FOR `time` AS `time`)
WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'localhost:9092', 'format' = 'json');
CREATE TABLE u (id BIGINT, written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', place BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'u', 'properties.bootstrap.servers' = 'localhost:9092', 'format' = 'json');
INSERT INTO u SELECT id, `time`, `offset` * 10 + `partition` FROM t;
