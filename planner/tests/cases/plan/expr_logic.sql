--! use orders
CREATE TABLE s (a BOOLEAN, b BOOLEAN, c BOOLEAN, d BOOLEAN, e BOOLEAN, f BOOLEAN) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT ok AND quantity > 1 OR NOT ok, ok IS NOT TRUE, customer IS NULL, quantity BETWEEN 1 AND 10, quantity NOT IN (1, 2, 3), customer IS DISTINCT FROM 'x'
FROM orders;
