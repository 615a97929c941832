--! use orders
CREATE TABLE s (a BIGINT, b STRING, c INT) WITH ('connector' = 'blackhole');
INSERT INTO s (c, a) SELECT quantity, id FROM orders;
