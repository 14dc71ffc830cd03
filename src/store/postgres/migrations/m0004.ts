/** Forks. */
export const m0004 = /* sql */ `
-- The run that this one was forked from (it need not be in this database), and the first event of it that it does not share.
ALTER TABLE stet_store.runs ADD COLUMN forked_from text COLLATE "C";
ALTER TABLE stet_store.runs ADD COLUMN forked_seq int;

CREATE OR REPLACE VIEW stet.runs AS
  SELECT r.id, r.run_id, r.workflow, r.version, r.queue, r.priority, r.status,
         stet_store.payload_json(s.payload) AS input,
         CASE WHEN r.status = 'completed' THEN stet_store.payload_json(e.payload) END AS output,
         CASE WHEN r.status IN ('failed', 'cancelled', 'terminated') THEN stet_store.payload_json(e.payload) END AS error,
         r.claim AS attempt_number,
         r.created_at, r.started_at, r.closed_at AS completed_at, r.owner AS worker, r.due, r.deadline,
         r.attributes, r.parent_run_id, r.forked_from
    FROM stet_store.runs r
    LEFT JOIN stet_store.history s ON s.run_id = r.run_id AND s.seq = 1
    LEFT JOIN LATERAL (SELECT payload FROM stet_store.history h WHERE h.run_id = r.run_id AND r.closed_at IS NOT NULL
                        ORDER BY seq DESC LIMIT 1) e ON true;
`
