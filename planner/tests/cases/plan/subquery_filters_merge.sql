--! use orders
CREATE TABLE s (a BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id
FROM (SELECT id, quantity FROM orders WHERE quantity > 1) WHERE id < 10;
