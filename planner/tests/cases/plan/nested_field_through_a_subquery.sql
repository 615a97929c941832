--! use orders
CREATE TABLE s (r DOUBLE) WITH ('connector' = 'print');
INSERT INTO s SELECT x.lat FROM (SELECT ROW(id, price) AS r, address.geo AS x FROM orders);
