--! use orders
CREATE TABLE s (a BOOLEAN, b BOOLEAN, c BOOLEAN, d BOOLEAN) WITH ('connector' = 'blackhole');
INSERT INTO s SELECT id = quantity, amount > 1.5, ts > '2026-01-01 00:00:00', born < ts
FROM orders;
