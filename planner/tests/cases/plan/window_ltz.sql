--! use orders
CREATE TABLE e (m BIGINT, ts AS TO_TIMESTAMP_LTZ(m, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE s (s TIMESTAMP(3), t TIMESTAMP_LTZ(3), n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT window_start, window_time, COUNT(*) FROM TABLE(TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, window_time;
