--! use orders
CREATE TABLE s (a DOUBLE, b INT, c DECIMAL(10, 0), d DECIMAL(10, 1), e DOUBLE, f INT, g DECIMAL(10, 2), h DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT SQRT(quantity), CEIL(quantity), FLOOR(amount), ROUND(amount, 1), LOG(price), MOD(quantity, 3), ABS(amount), POWER(2, price)
FROM orders;
