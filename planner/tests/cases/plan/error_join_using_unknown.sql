--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id, order_id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R USING (id, window_start, window_end);
