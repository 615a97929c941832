--! use orders
CREATE TABLE s (m BIGINT, w TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT MAX(n), window_end FROM (SELECT customer, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY customer, window_start, window_end) GROUP BY window_start, window_end;
