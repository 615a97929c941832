--! use orders
CREATE VIEW counts AS SELECT customer, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY customer, window_start, window_end;
CREATE TABLE s (a STRING, b TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE u (a STRING, b TIMESTAMP(3), n BIGINT) WITH ('connector' = 'print');
INSERT INTO s SELECT * FROM counts;
INSERT INTO u SELECT * FROM counts WHERE n > 10;
