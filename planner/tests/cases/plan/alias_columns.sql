--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT v.x, y
FROM (SELECT id, customer FROM orders) AS v (x, y);
