--! use orders
CREATE TABLE s (k STRING, n DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT o.address.city, MAX(o.address.geo.lat) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS o GROUP BY window_start, window_end, o.address.city;
