--! use orders
CREATE TABLE s (a STRING, b ROW<lat DOUBLE, lon DOUBLE>) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT address.*
FROM orders;
