CREATE TABLE e (k STRING, m BIGINT, ts AS TO_TIMESTAMP_LTZ(m, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE s (m BIGINT, w TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT MAX(n), window_end FROM (SELECT k, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end) GROUP BY window_start, window_end;
