--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id, customer FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(pt), INTERVAL '1' MINUTE));
