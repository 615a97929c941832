--! use orders
SET 'table.local-time-zone' = 'Europe/Berlin';
CREATE TABLE s (a STRING) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT DATE_FORMAT(TO_TIMESTAMP_LTZ(millis, 3), 'HH:mm') FROM orders;
