--! use orders
CREATE TABLE s (a BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT i
FROM (SELECT id AS i FROM orders UNION ALL SELECT millis FROM orders) WHERE i > 5;
