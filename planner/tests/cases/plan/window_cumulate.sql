--! use orders
CREATE TABLE s (k STRING, n BIGINT, s TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT customer, COUNT(*), window_start FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' DAY)) GROUP BY window_start, window_end, customer;
