--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id, JSON_VALUE(customer, '$.a') FROM orders;
