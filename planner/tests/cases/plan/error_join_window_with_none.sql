--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.order_id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN payments AS R ON L.id = R.order_id;
