-- # unsupported statements
CREATE CATALOG c WITH ('type' = 'hive');
-- # a function
CREATE TEMPORARY SYSTEM FUNCTION f AS 'com.example.F' LANGUAGE JAVA;
-- # explain
EXPLAIN PLAN FOR SELECT 1;
-- # show
SHOW TABLES;
-- # use
USE CATALOG c;
-- # delete
DELETE FROM t WHERE a = 1;
-- # no statement
CREAT TABLE t (a INT);
-- # match recognize
INSERT INTO s SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY a);
-- # partitioned
CREATE TABLE t (a INT)
  PARTITIONED BY (a) WITH ('connector' = 'print');
-- # distributed
CREATE TABLE t (a INT) DISTRIBUTED BY HASH(a) INTO 4 BUCKETS;
-- # create table as
CREATE TABLE t WITH ('connector' = 'print') AS SELECT 1;
-- # raw type
CREATE TABLE t (a RAW('x', 'y'));
-- # zoned timestamp
CREATE TABLE t (a TIMESTAMP(3) WITH TIME ZONE);
-- # type of postgres
CREATE TABLE t (id SERIAL);
-- # type of mysql
CREATE TABLE t (changed DATETIME);
-- # no type
CREATE TABLE t (a);
-- # unknown type
CREATE TABLE t (a INTT);
-- # precision
CREATE TABLE t (a TIMESTAMP(10));
-- # scale
CREATE TABLE t (a DECIMAL(5, 6));
-- # unclosed type
CREATE TABLE t (a ARRAY<INT, b INT);
-- # session window
INSERT INTO s SELECT * FROM TABLE(SESSION(TABLE t PARTITION BY a, DESCRIPTOR(ts), INTERVAL '5' MINUTES));
-- # a missing comma between columns
CREATE TABLE t (
  a INT
  b STRING
);
-- # a comma too many
CREATE TABLE t (a INT,);
-- # reserved word as a column
CREATE TABLE t (user STRING);
-- # reserved word in a query
INSERT INTO s SELECT t.value FROM t;
-- # reserved word as an alias
INSERT INTO s SELECT a AS `x`, b AS timestamp FROM t;
-- # string as an alias
INSERT INTO s SELECT a AS 'x' FROM t;
-- # unterminated string
INSERT INTO s SELECT 'abc FROM t;
-- # unterminated comment
INSERT INTO s /* SELECT 1;
-- # an option without quotes
CREATE TABLE t (a INT) WITH (connector = 'print');
-- # a number as an option's value
CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = 5);
-- # options without WITH
CREATE TABLE t (a INT) ('connector' = 'print');
-- # enforced key
CREATE TABLE t (a INT, PRIMARY KEY (a));
-- # unfinished query
INSERT INTO s SELECT a FROM;
-- # unfinished expression
INSERT INTO s SELECT a + FROM t;
-- # too much after a query
INSERT INTO s SELECT a FROM t t2 t3;
-- # a bracket too many
INSERT INTO s SELECT a FROM (SELECT a FROM t));
-- # an insert without a query
INSERT INTO s;
-- # statement set without end
EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT 1;
-- # statement set with another statement
EXECUTE STATEMENT SET BEGIN CREATE TABLE t (a INT); END;
-- # missing semicolon
CREATE TABLE t (a INT) CREATE TABLE u (a INT);
-- # bad cast
INSERT INTO s SELECT CAST(a AS TEXT) FROM t;
