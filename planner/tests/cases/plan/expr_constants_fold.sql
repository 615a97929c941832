--! use orders
CREATE TABLE s (a INT, b BOOLEAN, c STRING, d BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT 1 + 2 * 3, TRUE AND ok, CASE WHEN 1 = 1 THEN customer ELSE 'x' END, CAST(5 AS BIGINT) + id
FROM orders WHERE 1 < 2;
