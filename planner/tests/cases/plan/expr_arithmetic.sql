--! use orders
CREATE TABLE s (a BIGINT, b INT, c DOUBLE, d DECIMAL(38, 6), e DECIMAL(20, 2), f BIGINT, g DOUBLE, h INT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id + 1, quantity / 2, price * quantity, amount / 3, amount + quantity, id % 7, price - amount, -tiny + quantity
FROM orders;
