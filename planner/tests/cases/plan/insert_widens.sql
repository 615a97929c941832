--! use orders
CREATE TABLE s (a BIGINT, b DOUBLE, c DECIMAL(20, 2), d TIMESTAMP_LTZ(3), e STRING NOT NULL) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT quantity, id, quantity, ts, customer FROM orders;
