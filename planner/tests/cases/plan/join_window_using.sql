--! use orders
--! use payments
CREATE TABLE s (c STRING, e TIMESTAMP(3), a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT customer, window_end, id, order_id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R USING (customer, window_start, window_end);
