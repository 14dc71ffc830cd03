/** Children, updates, queries and successors of runs. */
export const m0003 = /* sql */ `
ALTER TABLE stet_store.runs ADD COLUMN parent_close text COLLATE "C";   -- what becomes of it when its parent closes first
CREATE INDEX runs_children ON stet_store.runs (parent_run_id) WHERE parent_run_id IS NOT NULL AND closed_at IS NULL;

-- The id under which a message was accepted: that of an update is how its sender finds the answer.
ALTER TABLE stet_store.inbox ADD COLUMN message_id text COLLATE "C";
-- Where in the run's history the answer to an update stands.
ALTER TABLE stet_store.message_ids ADD COLUMN answer int;

-- Questions to runs, answered by whoever has the code. Nothing of value is lost with them.
CREATE UNLOGGED TABLE stet_store.queries (
  id        text COLLATE "C" PRIMARY KEY,
  run_id    text COLLATE "C" NOT NULL,
  workflow  text COLLATE "C" NOT NULL,
  version   int NOT NULL,
  name      text NOT NULL,
  payload   text,
  asked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  taken_by  text COLLATE "C",
  answered  boolean NOT NULL DEFAULT false,
  answer    text,
  error     text
);
CREATE INDEX queries_open ON stet_store.queries (workflow, version) WHERE taken_by IS NULL;

-- What is left to do after a run has closed: its children are to be told.
CREATE TABLE stet_store.chores (
  run_id  text COLLATE "C" PRIMARY KEY,
  at      timestamptz NOT NULL
);

-- A payload that a codec of the user's has made says nothing here.
CREATE OR REPLACE FUNCTION stet_store.payload_json(payload text) RETURNS json LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN payload LIKE '~1%' THEN substr(payload, 3)::json -> 'json' WHEN payload LIKE '~%' THEN to_json('(encoded)'::text)
            ELSE payload::json END $$;

-- Tells a parent what came of its child. Called with the child's row locked.
CREATE FUNCTION stet_store.tell_parent(child text, child_status text, result text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE parent record;
BEGIN
  UPDATE stet_store.runs p
     SET msgs = p.msgs + 1,
         status = CASE WHEN p.status = 'waiting' AND p.claim > 0 THEN 'pending' ELSE p.status END,
         due = CASE WHEN p.status = 'waiting' AND p.claim > 0 THEN stet_store.clock() ELSE p.due END
    FROM stet_store.runs c
   WHERE c.run_id = child AND p.run_id = c.parent_run_id AND p.closed_at IS NULL
  RETURNING p.run_id, p.msgs, c.parent_op INTO parent;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at)
  VALUES (parent.run_id, parent.msgs, 'child', parent.parent_op || ':' || child_status, result, stet_store.clock());
  RETURN parent.run_id;
END $$;

CREATE OR REPLACE FUNCTION stet_store.post(target text, kind text, name text, payload text, message_id text) RETURNS text LANGUAGE plpgsql AS $$
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
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at, message_id)
  SELECT r.run_id, r.msgs, post.kind, post.name, post.payload, stet_store.clock(), post.message_id FROM stet_store.runs r WHERE r.run_id = run.run_id;
  RETURN NULL;
END $$;
`
