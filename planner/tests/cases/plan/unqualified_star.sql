--! use orders
CREATE TABLE s (x BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT * FROM orders;
