--! use orders
CREATE TABLE s (k STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT customer, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE quantity > 0 GROUP BY window_start, window_end, customer HAVING COUNT(*) > 3 AND customer <> 'x';
