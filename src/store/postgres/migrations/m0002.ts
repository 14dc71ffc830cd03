/** The public face in SQL: views to look, functions to start, signal and cancel from any language, in any transaction. */
export const m0002 = /* sql */ `
-- JSON where the payload is plain JSON; a tagged payload (dates, maps, …) shows the JSON inside its tag.
CREATE FUNCTION stet_store.payload_json(payload text) RETURNS json LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN payload LIKE '~%' THEN substr(payload, 3)::json -> 'json' ELSE payload::json END $$;

CREATE VIEW stet.runs AS
  SELECT r.id, r.run_id, r.workflow, r.version, r.queue, r.priority, r.status,
         stet_store.payload_json(s.payload) AS input,
         CASE WHEN r.status = 'completed' THEN stet_store.payload_json(e.payload) END AS output,
         CASE WHEN r.status IN ('failed', 'cancelled', 'terminated') THEN stet_store.payload_json(e.payload) END AS error,
         r.claim AS attempt_number,
         r.created_at, r.started_at, r.closed_at AS completed_at, r.owner AS worker, r.due, r.deadline,
         r.attributes, r.parent_run_id
    FROM stet_store.runs r
    LEFT JOIN stet_store.history s ON s.run_id = r.run_id AND s.seq = 1
    LEFT JOIN LATERAL (SELECT payload FROM stet_store.history h WHERE h.run_id = r.run_id AND r.closed_at IS NOT NULL
                        ORDER BY seq DESC LIMIT 1) e ON true;

CREATE VIEW stet.events AS
  SELECT run_id, seq, type, op, name, at, stet_store.payload_json(payload) AS data, facts::json AS facts
    FROM stet_store.history;

CREATE VIEW stet.steps AS
  SELECT run_id, op, name,
         CASE (array_agg(type ORDER BY seq DESC))[1]
           WHEN 'StepCompleted' THEN 'completed' WHEN 'StepFailed' THEN 'failed' WHEN 'StepSkipped' THEN 'skipped'
           ELSE 'running' END AS status,
         max(coalesce((facts::json ->> 'attempt')::int, 1)) AS attempt_number,
         to_timestamp(min((facts::json ->> 'began')::float8) / 1000) AS started_at,
         max(at) FILTER (WHERE type IN ('StepCompleted', 'StepFailed', 'StepSkipped')) AS completed_at,
         stet_store.payload_json(max(payload) FILTER (WHERE type = 'StepCompleted')) AS output,
         stet_store.payload_json(max(payload) FILTER (WHERE type = 'StepFailed')) AS error
    FROM stet_store.history
   WHERE type IN ('StepScheduled', 'AttemptFailed', 'StepCompleted', 'StepFailed', 'StepSkipped')
   GROUP BY run_id, op, name;

CREATE VIEW stet.waits AS
  SELECT r.run_id, r.id, r.workflow, (w ->> 'op')::int AS op, w ->> 'kind' AS kind, w ->> 'name' AS name,
         to_timestamp((w ->> 'askedAt')::float8 / 1000) AS since,
         to_timestamp((w ->> 'dueAt')::float8 / 1000) AS until
    FROM stet_store.runs r, json_array_elements(r.waits::json) w
   WHERE r.status = 'waiting';

CREATE VIEW stet.workers AS
  SELECT id, host, pid, queues, workflows, versions, started_at, beat_at, expires_at,
         (SELECT count(*) FROM stet_store.runs r WHERE r.owner = w.id) AS runs
    FROM stet_store.workers w;

-- Starts a run: the same id gives the first run. Input is JSON.
CREATE FUNCTION stet.start(workflow text, input json DEFAULT NULL, id text DEFAULT NULL, queue text DEFAULT NULL, version int DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  new_run text := 'run_' || lpad(stet_store.base36((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 9, '0')
                  || substr(encode(sha256(gen_random_uuid()::text::bytea), 'hex'), 1, 14);
  now_ms timestamptz := date_trunc('milliseconds', stet_store.clock());
  known record;
BEGIN
  IF coalesce(workflow, '') = '' THEN RAISE EXCEPTION 'stet.start: the workflow''s name is missing'; END IF;
  LOOP
    IF start.id IS NOT NULL THEN
      SELECT r.run_id, r.workflow, h.payload INTO known FROM stet_store.runs r
        JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1
       WHERE r.run_id = stet_store.find_run(start.id);
      IF FOUND THEN
        IF known.workflow <> start.workflow OR stet_store.payload_json(known.payload)::jsonb IS DISTINCT FROM input::jsonb THEN
          RAISE EXCEPTION 'stet.start: id "%" is taken by run % of workflow "%" with another workflow or input', start.id, known.run_id, known.workflow
            USING ERRCODE = 'unique_violation';
        END IF;
        RETURN known.run_id;
      END IF;
    END IF;
    INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, due, created_at)
    VALUES (new_run, coalesce(start.id, new_run), start.workflow,
            coalesce(start.version, stet_store.live_version(start.workflow), 0),
            coalesce(start.queue, 'default'), 'pending', now_ms, now_ms)
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    IF start.id IS NULL THEN RAISE EXCEPTION 'stet.start: run id % exists already', new_run; END IF;
  END LOOP;
  INSERT INTO stet_store.history (run_id, seq, type, op, payload, at) VALUES (new_run, 1, 'RunStarted', 0, input::text, now_ms);
  PERFORM pg_notify('stet', 'r' || coalesce(start.queue, 'default'));
  RETURN new_run;
END $$;

CREATE FUNCTION stet_store.base36(n bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE digits text := '0123456789abcdefghijklmnopqrstuvwxyz'; result text := '';
BEGIN
  LOOP
    result := substr(digits, (n % 36)::int + 1, 1) || result;
    n := n / 36;
    EXIT WHEN n = 0;
  END LOOP;
  RETURN result;
END $$;

-- The highest version of a workflow that a live worker has; null: none.
CREATE FUNCTION stet_store.live_version(workflow text) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT max(v.version) FROM stet_store.workers w, unnest(w.workflows, w.versions) v(name, version)
   WHERE v.name = live_version.workflow AND w.expires_at > clock_timestamp() $$;

-- The run that an id or a run id means: the latest one. Null: there is none.
CREATE FUNCTION stet_store.find_run(ref text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT run_id FROM (
    (SELECT r.run_id, r.created_at FROM stet_store.runs r WHERE r.id = ref AND r.id <> r.run_id ORDER BY r.created_at DESC LIMIT 1)
    UNION ALL
    SELECT r.run_id, r.created_at FROM stet_store.runs r WHERE r.run_id = ref) x
  ORDER BY created_at DESC LIMIT 1 $$;

-- Accepts one message for a run, under the lock of its row: a run cannot park without having seen it.
CREATE FUNCTION stet_store.post(target text, kind text, name text, payload text, message_id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE run record;
BEGIN
  SELECT r.run_id, r.closed_at, r.status INTO run FROM stet_store.runs r WHERE r.run_id = target FOR NO KEY UPDATE;
  IF run.closed_at IS NOT NULL THEN RETURN run.status; END IF;
  IF message_id IS NOT NULL THEN
    INSERT INTO stet_store.message_ids VALUES (run.run_id, message_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  UPDATE stet_store.runs r
     SET msgs = r.msgs + 1,
         status = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN 'pending' ELSE r.status END,
         due = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN stet_store.clock() ELSE r.due END
   WHERE r.run_id = run.run_id;
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at)
  SELECT r.run_id, r.msgs, post.kind, post.name, post.payload, stet_store.clock() FROM stet_store.runs r WHERE r.run_id = run.run_id;
  RETURN NULL;
END $$;

-- Sends a signal. The message is JSON; the same message_id is accepted once by a run.
CREATE FUNCTION stet.signal(run text, name text, message json DEFAULT NULL, message_id text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE target text := stet_store.find_run(run); closed text;
BEGIN
  IF target IS NULL THEN RAISE EXCEPTION 'stet.signal: no run has the id or run id "%"', run USING ERRCODE = 'no_data_found'; END IF;
  closed := stet_store.post(target, 'signal', signal.name, message::text, message_id);
  IF closed IS NOT NULL THEN RAISE EXCEPTION 'stet.signal: run % is %', target, closed; END IF;
  PERFORM pg_notify('stet', 'm' || target);
END $$;

-- Asks a run to cancel itself.
CREATE FUNCTION stet.cancel(run text, reason text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE target text := stet_store.find_run(run); closed text;
BEGIN
  IF target IS NULL THEN RAISE EXCEPTION 'stet.cancel: no run has the id or run id "%"', run USING ERRCODE = 'no_data_found'; END IF;
  closed := stet_store.post(target, 'cancel', NULL, to_json(reason)::text, NULL);
  IF closed IS NOT NULL THEN RAISE EXCEPTION 'stet.cancel: run % is %', target, closed; END IF;
  PERFORM pg_notify('stet', 'm' || target);
END $$;
`
