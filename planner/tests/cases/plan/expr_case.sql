--! use orders
CREATE TABLE s (a STRING, b INT, c STRING, d BIGINT, e INT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT CASE customer WHEN 'a' THEN 'one' WHEN 'b' THEN 'three' END, IF(ok, 1, quantity), COALESCE(customer, 'none'), IFNULL(id, 0), NULLIF(quantity, 0)
FROM orders;
