--! use orders
--! use payments
CREATE TABLE s (c STRING, a BIGINT, b BIGINT, e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.customer, L.n, R.n, L.window_end
FROM (SELECT customer, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY customer, window_start, window_end) L JOIN (SELECT customer, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY customer, window_start, window_end) R ON L.customer = R.customer AND L.window_start = R.window_start AND L.window_end = R.window_end;
