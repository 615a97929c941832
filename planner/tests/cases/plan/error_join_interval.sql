--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.order_id FROM orders AS L JOIN payments AS R ON L.id = R.order_id AND R.ts BETWEEN L.ts AND L.ts + INTERVAL '5' MINUTE;
