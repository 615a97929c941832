--! use orders
--! use payments
CREATE TABLE s (a STRING, b STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.address.city, R.detail.bank FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS L JOIN TABLE(TUMBLE(TABLE payments, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS R ON L.address.city = R.detail.`at`.city AND L.window_start = R.window_start AND L.window_end = R.window_end;
