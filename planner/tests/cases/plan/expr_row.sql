--! use orders
CREATE TABLE s (a ROW<city STRING, geo ROW<lat DOUBLE, lon DOUBLE>>, b DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT address, address.geo.lat
FROM orders;
