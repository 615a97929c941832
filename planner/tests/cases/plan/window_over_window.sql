--! use orders
CREATE TABLE s (k STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT customer, SUM(n) FROM TABLE(TUMBLE((SELECT customer, window_time, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY customer, window_start, window_end, window_time), DESCRIPTOR(window_time), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, customer;
