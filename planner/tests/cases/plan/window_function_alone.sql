--! use orders
CREATE TABLE s (a BIGINT, s TIMESTAMP(3), e TIMESTAMP(3), t TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id, window_start, window_end, window_time FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE quantity > 3 AND window_start > TIMESTAMP '2026-01-01 00:00:00';
