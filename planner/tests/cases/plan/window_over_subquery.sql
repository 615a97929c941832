--! use orders
CREATE TABLE s (k STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT c, COUNT(*) FROM TABLE(TUMBLE((SELECT customer AS c, ts FROM orders WHERE ok), DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, c;
