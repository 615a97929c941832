--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b DECIMAL(12, 2), t TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, paid, R.window_time
FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE, INTERVAL '30' SECOND)) AS L INNER JOIN TABLE(HOP(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE, INTERVAL '30' SECOND)) AS R
ON L.window_end = R.window_end AND L.customer = R.customer AND R.window_start = L.window_start AND L.id = order_id;
