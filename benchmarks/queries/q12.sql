-- Nexmark 12: bids per bidder in tumbling windows of processing time.
CREATE TABLE output (bidder BIGINT, bid_count BIGINT, window_start TIMESTAMP(3), window_end TIMESTAMP(3))
WITH ('connector' = 'blackhole');

CREATE VIEW bid_now AS SELECT *, PROCTIME() AS p_time FROM bid;

INSERT INTO output
SELECT bidder, COUNT(*) AS bid_count, window_start, window_end
FROM TABLE(TUMBLE(TABLE bid_now, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
