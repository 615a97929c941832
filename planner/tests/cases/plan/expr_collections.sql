--! use orders
CREATE TABLE s (a STRING, b INT, c INT, d DOUBLE, e STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT tags[1], attributes['k'], CARDINALITY(tags), o.address.geo.lat, address.city
FROM orders AS o;
