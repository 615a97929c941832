--! use orders
CREATE TABLE s (k STRING, a BIGINT, b BIGINT, c INT, d DECIMAL(38, 2), e DECIMAL(38, 6), f INT, g DOUBLE, h STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT customer, COUNT(*), COUNT(amount), SUM(quantity), SUM(amount), AVG(amount), AVG(quantity), MAX(price), MIN(customer) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, customer;
