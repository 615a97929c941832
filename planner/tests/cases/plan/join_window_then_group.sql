--! use orders
--! use payments
CREATE TABLE s (c STRING, n BIGINT, p DECIMAL(38, 2), s TIMESTAMP(3), e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.customer, COUNT(*), SUM(R.paid), L.window_start, R.window_end
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R ON L.id = R.order_id AND L.window_start = R.window_start AND L.window_end = R.window_end GROUP BY L.customer, L.window_start, R.window_end;
