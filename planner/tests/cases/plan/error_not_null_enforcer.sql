--! use orders
CREATE TABLE s (a BIGINT NOT NULL, b STRING) WITH ('connector' = 'blackhole');
SET 'table.exec.sink.not-null-enforcer' = 'IGNORE';
INSERT INTO s SELECT id, customer FROM orders;
