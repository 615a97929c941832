CREATE TABLE s (a BIGINT, b STRING, c DECIMAL(4, 2)) WITH ('connector' = 'print');
INSERT INTO s VALUES (1, 'one', 1.5), (2, 'two', NULL);
