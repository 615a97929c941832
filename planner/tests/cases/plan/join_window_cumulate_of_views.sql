--! use orders
--! use payments
CREATE VIEW o AS SELECT * FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE));
CREATE TABLE s (a BIGINT, b BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s WITH p AS (SELECT order_id AS id, window_start, window_end FROM TABLE(CUMULATE(TABLE payments, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)))
SELECT o.id, p.id FROM o JOIN p ON o.id = p.id AND o.window_start = p.window_start AND o.window_end = p.window_end;
