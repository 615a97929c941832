--! use orders
CREATE TABLE s (a BIGINT, b BIGINT, c INT, d BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT COUNT(DISTINCT customer), COUNT(DISTINCT customer) FILTER (WHERE ok), SUM(quantity) FILTER (WHERE quantity > 5), COUNT(*) FILTER (WHERE NOT ok) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
