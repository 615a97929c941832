--! use orders
CREATE TABLE s (a BIGINT, b DOUBLE) WITH ('connector' = 'blackhole');
CREATE TABLE u (a STRING, n BIGINT) WITH ('connector' = 'print');
EXECUTE STATEMENT SET BEGIN
INSERT INTO s SELECT id, address.geo.lat FROM orders WHERE quantity > 1;
INSERT INTO u SELECT customer, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY customer, window_start, window_end;
END;
