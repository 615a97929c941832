--! use orders
CREATE TABLE s (n BIGINT) WITH ('connector' = 'print');
INSERT INTO s SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE window_end - INTERVAL '1' SECOND > ts GROUP BY window_start, window_end HAVING COUNT(DISTINCT customer) > 1;
