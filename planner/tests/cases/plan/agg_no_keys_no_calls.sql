--! use orders
CREATE TABLE s (w TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT window_start FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
