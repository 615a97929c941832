-- Nexmark 2, filter: the bids for some auctions.
CREATE TABLE output (auction BIGINT, price BIGINT)
WITH ('connector' = 'blackhole');

INSERT INTO output
SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
