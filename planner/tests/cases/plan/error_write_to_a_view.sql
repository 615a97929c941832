--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
CREATE VIEW v AS SELECT id FROM orders; INSERT INTO v SELECT id FROM orders;
