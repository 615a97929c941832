--! use orders
CREATE TABLE s (a STRING, b STRING, c STRING, d INT, e STRING, f BOOLEAN, g STRING, h STRING, i INT, j INT, k STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT UPPER(customer), customer || '-' || customer, SUBSTRING(customer FROM 2 FOR 3), CHAR_LENGTH(customer), TRIM(BOTH 'x' FROM customer), customer NOT LIKE 'a%%' , CONCAT_WS(',', customer, 'b'), REGEXP_EXTRACT(customer, '(a)(b)', 2), POSITION('a' IN customer), INSTR(customer, 'a'), OVERLAY(customer PLACING 'x' FROM 2)
FROM orders;
