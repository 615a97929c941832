--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT MAX(n), 'x' FROM (SELECT customer, window_start, window_end, COUNT(*) AS n FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) GROUP BY customer, window_start, window_end) GROUP BY window_start, window_end;
