--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT o.id, o.customer FROM orders AS o JOIN orders FOR SYSTEM_TIME AS OF o.pt AS p ON o.id = p.id;
