--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.n
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) L JOIN (SELECT customer, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY customer, window_start, window_end) R ON L.customer = R.customer AND L.window_start = R.window_start AND L.window_end = R.window_end;
