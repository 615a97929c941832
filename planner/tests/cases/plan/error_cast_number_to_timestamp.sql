--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id, CAST(CAST(millis AS TIMESTAMP(3)) AS STRING) FROM orders;
