--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
CREATE TABLE u (a BIGINT, b STRING NOT NULL) WITH ('connector' = 'print'); INSERT INTO u (a) SELECT id FROM orders;
