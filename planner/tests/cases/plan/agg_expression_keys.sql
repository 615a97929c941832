--! use orders
CREATE TABLE s (k STRING, n DOUBLE, w TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT UPPER(customer) || '!', SUM(price) / COUNT(*), window_end FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY UPPER(customer), window_end, window_start;
