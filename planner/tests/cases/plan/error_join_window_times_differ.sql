--! use orders
--! use visits
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.id, R.page FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE visits, DESCRIPTOR(`at`), INTERVAL '5' MINUTE)) AS R ON L.customer = R.customer AND L.window_start = R.window_start AND L.window_end = R.window_end;
