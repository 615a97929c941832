-- What Flink is told before the statements, beyond the cluster's configuration: to wait for the job,
-- and what makes its SQL fast.
SET 'pipeline.name' = '${JOB}';
SET 'table.dml-sync' = 'true';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '2 s';
SET 'table.exec.mini-batch.size' = '50000';
SET 'table.optimizer.agg-phase-strategy' = 'TWO_PHASE';
