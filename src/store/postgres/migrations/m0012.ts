/** Debounced starts: those with one key are one run until it begins, with the input of the last of them. */
export const m0012 = /* sql */ `
ALTER TABLE stet_store.runs ADD COLUMN debounce text COLLATE "C";
-- At most one that has not begun; whoever starts another while that is locked waits for it.
CREATE UNIQUE INDEX runs_debounced ON stet_store.runs (workflow, debounce)
  WHERE debounce IS NOT NULL AND claim = 0 AND closed_at IS NULL;

-- The run that stands for the key: new_run, or one that has not begun, which begins later now and with this input.
CREATE FUNCTION stet_store.start_debounced(new_run text, of_workflow text, of_version int, in_queue text, of_priority int,
                                           timeout_ms float8, input text, with_facts text, with_attributes jsonb,
                                           key text, wait_ms float8, max_wait_ms float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  now timestamptz;
  begins timestamptz;
  known record;
BEGIN
  LOOP
    SELECT r.run_id, r.created_at,
           r.status IN ('waiting', 'pending') AND NOT EXISTS (SELECT FROM stet_store.inbox i WHERE i.run_id = r.run_id AND i.kind = 'cancel') AS usable
      INTO known FROM stet_store.runs r
     WHERE r.workflow = of_workflow AND r.debounce = key AND r.claim = 0 AND r.closed_at IS NULL FOR NO KEY UPDATE;
    now := date_trunc('milliseconds', stet_store.clock());
    IF FOUND AND known.usable THEN
      begins := least(now + wait_ms * interval '1 ms', known.created_at + max_wait_ms * interval '1 ms');
      UPDATE stet_store.runs r
         SET status = CASE WHEN begins > now THEN 'waiting' ELSE 'pending' END, due = begins, deadline = begins + timeout_ms * interval '1 ms', line = '',
             version = coalesce(of_version, stet_store.live_version(of_workflow), 0), queue = in_queue, priority = of_priority,
             attributes = with_attributes
       WHERE r.run_id = known.run_id;
      UPDATE stet_store.history h SET payload = input, facts = with_facts, at = begins WHERE h.run_id = known.run_id AND h.seq = 1;
      RETURN known.run_id;
    END IF;
    -- Paused, or on its way to its end: it stays as it is, and another one stands for the key.
    IF FOUND THEN UPDATE stet_store.runs r SET debounce = NULL WHERE r.run_id = known.run_id; END IF;
    begins := now + least(wait_ms, max_wait_ms) * interval '1 ms';
    INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes, debounce)
    VALUES (new_run, new_run, of_workflow, coalesce(of_version, stet_store.live_version(of_workflow), 0), in_queue, of_priority,
            CASE WHEN begins > now THEN 'waiting' ELSE 'pending' END, begins, now, begins + timeout_ms * interval '1 ms', with_attributes, key)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
      INSERT INTO stet_store.history (run_id, seq, type, op, payload, facts, at) VALUES (new_run, 1, 'RunStarted', 0, input, with_facts, begins);
      RETURN new_run;
    END IF;
    -- An earlier try had been committed after all, and its run has begun.
    IF EXISTS (SELECT FROM stet_store.runs r WHERE r.run_id = new_run) THEN RETURN new_run; END IF;
  END LOOP;
END $$;
`
