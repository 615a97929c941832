--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT o.id, p.customer FROM orders AS o LEFT JOIN orders AS p ON o.id = p.id;
