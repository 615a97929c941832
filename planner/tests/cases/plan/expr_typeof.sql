--! use orders
CREATE TABLE s (a STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT TYPEOF(amount * quantity)
FROM orders;
