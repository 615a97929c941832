--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT, s TIMESTAMP(3), e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.order_id, L.window_start, L.window_end
FROM (SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE))) L JOIN (SELECT * FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE))) R
ON L.id = R.order_id AND L.window_start = R.window_start AND L.window_end = R.window_end;
