--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
CREATE VIEW v AS SELECT nothing FROM orders; INSERT INTO s SELECT id, customer FROM orders;
