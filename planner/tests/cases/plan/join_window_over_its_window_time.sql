--! use orders
--! use payments
CREATE TABLE s (n BIGINT, e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT COUNT(*), window_end
FROM TABLE(TUMBLE((SELECT L.id, L.window_time AS wt FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R ON L.id = R.order_id AND L.window_start = R.window_start AND L.window_end = R.window_end), DESCRIPTOR(wt), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
