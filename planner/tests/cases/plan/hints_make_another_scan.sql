--! use orders
CREATE TABLE s (a BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id FROM orders UNION ALL SELECT id FROM orders /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */;
