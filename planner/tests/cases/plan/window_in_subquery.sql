--! use orders
CREATE TABLE s (k STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT c, SUM(q) FROM (SELECT customer AS c, CAST(quantity AS BIGINT) AS q, window_start, window_end FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE ok) GROUP BY window_start, window_end, c;
