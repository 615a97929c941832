--! use orders
--! use payments
CREATE TABLE s (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT COUNT(*) FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) AS L JOIN TABLE(HOP(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) AS R ON L.id = R.order_id AND L.window_start = R.window_start AND L.window_end = R.window_end GROUP BY L.window_start, L.window_end;
