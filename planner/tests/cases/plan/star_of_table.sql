--! use orders
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT v.*
FROM (SELECT id, millis FROM orders) AS v;
