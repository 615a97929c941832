--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT (SELECT MAX(id) FROM orders), customer FROM orders;
