--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT x, 'y' FROM (SELECT id AS x, millis AS x FROM orders);
