--! use visits
SET 'table.local-time-zone' = 'Europe/Berlin';
CREATE TABLE s (a STRING, b STRING, t TIMESTAMP_LTZ(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT L.page, R.page, L.window_time FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(`at`), INTERVAL '1' DAY)) AS L JOIN TABLE(TUMBLE(TABLE visits, DESCRIPTOR(`at`), INTERVAL '1' DAY)) AS R
ON L.customer = R.customer AND L.window_start = R.window_start AND L.window_end = R.window_end AND L.page <> R.page;
