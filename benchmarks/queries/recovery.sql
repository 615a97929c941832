-- What the recovery benchmark runs: state for every pair of auction and bidder, in a window that stays open.
CREATE TABLE output (auction BIGINT, bidder BIGINT, bid_count BIGINT, highest BIGINT, window_start TIMESTAMP(3))
WITH ('connector' = 'blackhole');

INSERT INTO output
SELECT auction, bidder, COUNT(*) AS bid_count, MAX(price) AS highest, window_start
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' DAY))
GROUP BY auction, bidder, window_start, window_end;
