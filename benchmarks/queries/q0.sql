-- Nexmark 0, pass-through: what reading and decoding cost.
CREATE TABLE output (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING)
WITH ('connector' = 'blackhole');

INSERT INTO output
SELECT auction, bidder, price, `dateTime`, extra FROM bid;
