--! use orders
--! use payments
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.order_id FROM orders AS L JOIN LATERAL (SELECT * FROM payments) AS R ON TRUE;
