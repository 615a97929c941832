CREATE TABLE user_events (user_id STRING, `action` STRING, `timestamp` BIGINT, pt AS PROCTIME())
  WITH ('connector' = 'kafka', 'topic' = 'user-events', 'format' = 'json',
        'properties.group.id' = 'actions', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE processed_events (`action` STRING, window_start TIMESTAMP(3), n BIGINT)
  WITH ('connector' = 'kafka', 'topic' = 'processed-events', 'format' = 'json');
INSERT INTO processed_events
  SELECT `action`, window_start, COUNT(*)
  FROM TABLE(TUMBLE(TABLE user_events, DESCRIPTOR(pt), INTERVAL '1' MINUTE))
  GROUP BY `action`, window_start, window_end;
