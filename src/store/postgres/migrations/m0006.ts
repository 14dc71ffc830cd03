/** What workers keep of how often and how long. */
export const m0006 = /* sql */ `
CREATE TABLE stet_store.stats (
  seconds    int NOT NULL,                 -- how long it is about: 60, 3600 or 86400
  at         timestamptz NOT NULL,         -- from when on
  workflow   text COLLATE "C" NOT NULL,
  version    int NOT NULL,
  step       text COLLATE "C" NOT NULL,    -- '': the runs
  started    bigint NOT NULL,
  completed  bigint NOT NULL,
  failed     bigint NOT NULL,
  cancelled  bigint NOT NULL,
  terminated bigint NOT NULL,
  continued  bigint NOT NULL,
  blocked    bigint NOT NULL,
  retried    bigint NOT NULL,
  duration   int[] NOT NULL,               -- histograms: the subscript is the number of the bucket
  delay      int[] NOT NULL,
  PRIMARY KEY (seconds, at, workflow, version, step)
) WITH (fillfactor = 80);

-- One workflow or step over a long time, without the others.
CREATE INDEX stats_of ON stet_store.stats (workflow, step, at);

-- The last that each worker has added, so that nothing is added twice.
CREATE TABLE stet_store.stats_sources (
  source text COLLATE "C" PRIMARY KEY,
  n      int NOT NULL,
  at     timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION stet_store.add_histogram(a int[], b int[]) RETURNS int[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN coalesce(cardinality(a), 0) = 0 THEN coalesce(b, '{}')
              WHEN coalesce(cardinality(b), 0) = 0 THEN a
              ELSE (SELECT ('[' || min(i) || ':' || max(i) || ']={'
                            || string_agg(least(coalesce(a[i], 0)::bigint + coalesce(b[i], 0), 2147483647)::text, ',' ORDER BY i) || '}')::int[]
                      FROM generate_series(least(array_lower(a, 1), array_lower(b, 1)),
                                           greatest(array_upper(a, 1), array_upper(b, 1))) AS i) END $$;

CREATE AGGREGATE stet_store.sum_histograms (int[]) (
  SFUNC = stet_store.add_histogram, STYPE = int[], INITCOND = '{}', PARALLEL = SAFE);

-- The value, ms, that a part p (0 to 1) of all values do not exceed; null: there are none. Bucket 0 is what is below 1 ms,
-- bucket i from 10^((i - 1) / 24) to 10^(i / 24): no farther than 5 % from the truth.
CREATE FUNCTION stet_store.percentile(histogram int[], p float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN i = 0 THEN 0 ELSE power(10, (i - 1) / 24.0) * 2 / (1 + power(10, -1 / 24.0)) END::float8
    FROM (SELECT i, sum(n) OVER (ORDER BY i) AS upto, sum(n) OVER () AS total
            FROM (SELECT u.place + array_lower(histogram, 1) - 1 AS i, u.n FROM unnest(histogram) WITH ORDINALITY u(n, place)) b) c
   WHERE total > 0 AND upto >= greatest(1, ceil(p * total)) ORDER BY i LIMIT 1 $$;

CREATE VIEW stet.step_stats AS
  SELECT at, seconds, workflow, version, step, completed + failed + retried AS attempts, completed, failed, retried,
         stet_store.percentile(duration, 0.5) AS p50_ms, stet_store.percentile(duration, 0.95) AS p95_ms,
         stet_store.percentile(duration, 0.99) AS p99_ms, stet_store.percentile(delay, 0.95) AS delay_p95_ms
    FROM stet_store.stats WHERE step <> '' AND seconds IN (60, 3600, 86400);

CREATE VIEW stet.run_stats AS
  SELECT at, seconds, workflow, version, started, completed, failed, cancelled, terminated, continued, blocked,
         stet_store.percentile(duration, 0.5) AS p50_ms, stet_store.percentile(duration, 0.95) AS p95_ms,
         stet_store.percentile(duration, 0.99) AS p99_ms, stet_store.percentile(delay, 0.95) AS delay_p95_ms
    FROM stet_store.stats WHERE step = '' AND seconds IN (60, 3600, 86400);
`
