-- Nexmark 1, projection: prices in another currency.
CREATE TABLE output (auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `dateTime` TIMESTAMP(3), extra STRING)
WITH ('connector' = 'blackhole');

INSERT INTO output
SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid;
