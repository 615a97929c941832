--! use orders
CREATE TABLE s (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT COUNT(*) FROM orders GROUP BY HOP(pt, INTERVAL '1' MINUTE, INTERVAL '1' HOUR);
