--! use orders
--! use payments
CREATE TABLE s (a INT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT 1 FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R ON L.id = R.order_id AND L.window_start = R.window_start AND L.window_end = R.window_end;
