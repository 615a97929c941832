-- `q0` into Kafka, exactly once: every bid is written again.
CREATE TABLE output (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING)
WITH (
  'connector' = 'kafka',
  'topic' = '${OUTPUT_TOPIC}',
  'properties.bootstrap.servers' = '${BOOTSTRAP_SERVERS}',
  'format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '${OUTPUT_TOPIC}'
);

INSERT INTO output
SELECT auction, bidder, price, `dateTime`, extra FROM bid;
