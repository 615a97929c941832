--! use orders
CREATE TABLE s (r ROW<a BIGINT, b ROW<c STRING>>) WITH ('connector' = 'print');
INSERT INTO s SELECT ROW(quantity, ROW(customer)) FROM orders;
