/** What people look at: who did what, and lists that cost the same however many runs there are. */
export const m0005 = /* sql */ `
-- One row for each action of an operator, written before it is done. No payloads: those are in histories alone.
CREATE TABLE stet_store.audit (
  n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor   text NOT NULL,
  role    text NOT NULL,
  action  text NOT NULL,
  run_id  text COLLATE "C",
  id      text COLLATE "C",
  details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_of_run ON stet_store.audit (run_id, n) WHERE run_id IS NOT NULL;

CREATE VIEW stet.audit AS
  SELECT n, at, actor, role, action, run_id, id, details FROM stet_store.audit;

-- Those of closed runs are written once in the life of a run.
CREATE INDEX runs_closed ON stet_store.runs (status, run_id) WHERE closed_at IS NOT NULL;
CREATE INDEX runs_closed_workflow ON stet_store.runs (workflow, version, run_id) WHERE closed_at IS NOT NULL;
CREATE INDEX runs_waiting ON stet_store.runs (run_id) WHERE status = 'waiting';
CREATE INDEX runs_paused ON stet_store.runs (run_id) WHERE status = 'paused';
CREATE INDEX runs_of_parent ON stet_store.runs (parent_run_id, run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_of_origin ON stet_store.runs (forked_from, run_id) WHERE forked_from IS NOT NULL;
`
