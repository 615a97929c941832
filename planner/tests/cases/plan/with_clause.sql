--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s WITH big AS (SELECT id, customer FROM orders WHERE amount > 100), named (i, c) AS (SELECT * FROM big) SELECT i, c FROM named;
