--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.customer FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R
ON L.quantity = R.order_id AND UPPER(L.customer) = R.customer AND L.window_start = R.window_start AND L.window_end = R.window_end AND L.amount < R.paid AND L.price > 2 AND R.number IN (1, 2) AND L.tags = R.tags AND L.window_time = R.window_time;
