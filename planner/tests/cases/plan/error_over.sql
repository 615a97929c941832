--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT SUM(id) OVER (PARTITION BY customer ORDER BY ts), customer FROM orders;
