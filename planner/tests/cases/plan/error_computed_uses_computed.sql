--! use orders
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
CREATE TABLE u (a BIGINT, b AS a + 1, c AS b + 1) WITH ('connector' = 'datagen'); INSERT INTO s SELECT a, 'x' FROM u;
