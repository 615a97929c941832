--! use orders
CREATE TABLE s (a ROW<city STRING, geo ROW<lat DOUBLE, lon DOUBLE>>) WITH ('connector' = 'blackhole');
CREATE TABLE u (a DOUBLE) WITH ('connector' = 'print');
INSERT INTO s SELECT address FROM orders;
INSERT INTO u SELECT address.geo.lon FROM orders;
