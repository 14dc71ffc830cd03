/**
 * Lists that cost the same however many runs there are. Each index ends in `run_id`, which is the order of lists: a
 * page is the ends of as many ranges as there are statuses (and versions) in question, put together.
 */

/** The time in a run id: 46.656 s are one of its first six digits, which is exact enough to look near there. */
const unit = "interval '46.656 s'"
const digits = [5, 6, 7, 8, 9, 10]
  .map((at) => `strpos('0123456789abcdefghijklmnopqrstuvwxyz', substr(run_id, ${at}, 1))::bigint - 1`)
  .reduce((number, digit) => `(${number}) * 36 + ${digit}`)

/**
 * A run that was not created within a minute of the time in its id: clocks differed, or it was waited for long. A
 * search by time looks at these beside those whose ids are of that time.
 */
export const astray = `NOT (run_id LIKE 'run\\_%' AND created_at - timestamptz '1970-01-01 00:00:00+00' - (${digits}) * ${unit}
                            BETWEEN interval '-60 s' AND interval '106.656 s')`

export const m0008 = /* sql */ `
DROP INDEX stet_store.runs_closed;
DROP INDEX stet_store.runs_waiting;
DROP INDEX stet_store.runs_paused;
DROP INDEX stet_store.runs_closed_workflow;

CREATE INDEX runs_by_status ON stet_store.runs (status, run_id);
CREATE INDEX runs_by_workflow ON stet_store.runs (workflow, version, status, run_id);
-- Of an open run the queue is found among those of its status.
CREATE INDEX runs_closed_by_queue ON stet_store.runs (queue, status, run_id) WHERE closed_at IS NOT NULL;
CREATE INDEX runs_attributes ON stet_store.runs USING gin (attributes jsonb_path_ops) WHERE attributes IS NOT NULL;
-- Whether it is worth while to ask that index, which has no order: a guess, from some thousands of what it has.
CREATE FUNCTION stet_store.few_have(wanted jsonb) RETURNS boolean LANGUAGE sql STABLE SET gin_fuzzy_search_limit = 5000 AS
  $$ SELECT count(*) <= 1000 FROM (SELECT FROM stet_store.runs WHERE attributes @> wanted LIMIT 1001) some_runs $$;
CREATE INDEX runs_astray ON stet_store.runs (run_id) WHERE ${astray};

-- Sums of minutes that are still there: of an hour, of ten minutes. All rows of such a span are there, or none; one with
-- workflow '' says that they are.
CREATE TABLE stet_store.stats_spans (LIKE stet_store.stats, PRIMARY KEY (seconds, at, workflow, version, step));
`
