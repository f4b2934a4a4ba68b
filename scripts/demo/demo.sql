-- Reviews from a topic, by two models, into four topics. The broker's address is the one that scripts/demo.sh puts there.
SET 'pipeline.name' = 'demo-sql';
SET 'parallelism.default' = '1';
SET 'execution.checkpointing.interval' = '5 s';
-- Flink gives 10 rows at a time unless it is told, and its timeout counts a row's waiting.
SET 'table.exec.async-ml-predict.max-concurrent-operations' = '256';
SET 'table.exec.async-ml-predict.timeout' = '0 s';

CREATE TABLE reviews (id STRING, text STRING, arrived AS PROCTIME()) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:9092', 'topic' = 'reviews',
  'properties.group.id' = 'demo', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);
CREATE TABLE labels (id STRING, label STRING, score DOUBLE, error_code STRING) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:9092', 'topic' = 'labels', 'format' = 'json'
);
CREATE TABLE unsure (id STRING, text STRING, label STRING, score DOUBLE) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:9092', 'topic' = 'unsure', 'format' = 'json'
);
CREATE TABLE found (id STRING, entity_group STRING, word STRING, score DOUBLE) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:9092', 'topic' = 'found', 'format' = 'json'
);
CREATE TABLE counts (label STRING, n BIGINT) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:9092', 'topic' = 'counts', 'format' = 'json'
);

CREATE TEMPORARY MODEL sentiment INPUT (text STRING) OUTPUT (label STRING, score DOUBLE, error_code STRING)
WITH ('provider' = 'labelstream', 'model' = 'model-assets/sentiment');

CREATE TEMPORARY MODEL entities INPUT (text STRING)
OUTPUT (entities ARRAY<ROW<entity_group STRING, word STRING, score DOUBLE>>)
WITH ('provider' = 'labelstream', 'model' = 'model-assets/entities', 'aggregation_strategy' = 'first');

CREATE TEMPORARY VIEW labelled AS SELECT * FROM ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(text));

EXECUTE STATEMENT SET BEGIN
  INSERT INTO labels SELECT id, label, score, error_code FROM labelled;

  INSERT INTO unsure SELECT id, text, label, score FROM labelled WHERE score < 0.9;

  INSERT INTO found SELECT id, e.entity_group, e.word, e.score
  FROM ML_PREDICT(TABLE reviews, MODEL entities, DESCRIPTOR(text))
  CROSS JOIN UNNEST(entities) AS e (entity_group, word, score);

  INSERT INTO counts SELECT label, COUNT(*)
  FROM TUMBLE(TABLE labelled, DESCRIPTOR(arrived), INTERVAL '10' SECOND)
  GROUP BY window_start, window_end, label;
END;
