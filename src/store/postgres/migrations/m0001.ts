/**
 * The tables. Everything that may change lives in schema `stet_store`; what users may rely on is in schema `stet`.
 *
 * `runs` is small and hot: one row a run, with what claiming, waking and parking need. What a run was given and what
 * came of it stands in `history`, which is only ever appended to.
 */
export const m0001 = /* sql */ `
CREATE SCHEMA IF NOT EXISTS stet;

-- The time that runs live by. One function, so that a test database can have a clock that it moves.
CREATE FUNCTION stet_store.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

-- A row exists exactly while that worker may write (the fence).
CREATE TABLE stet_store.workers (
  id          text PRIMARY KEY,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz NOT NULL,
  pid         int,
  host        text,
  queues      text[] NOT NULL DEFAULT '{}',
  workflows   text[] NOT NULL DEFAULT '{}',
  versions    int[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

CREATE TABLE stet_store.runs (
  run_id        text COLLATE "C" PRIMARY KEY,
  id            text COLLATE "C" NOT NULL,
  workflow      text COLLATE "C" NOT NULL,
  version       int NOT NULL,              -- 0: not decided yet, the highest that the claiming worker has
  queue         text COLLATE "C" NOT NULL,
  priority      smallint NOT NULL DEFAULT 0,
  status        text COLLATE "C" NOT NULL,
  owner         text COLLATE "C",
  claim         int NOT NULL DEFAULT 0,
  msgs          int NOT NULL DEFAULT 0,    -- messages ever accepted
  seen          int NOT NULL DEFAULT 0,    -- of those, how many the run had looked at when it parked
  due           timestamptz,               -- pending: since when; waiting: until when, null for no timer
  crashes       smallint NOT NULL DEFAULT 0,
  crash_seq     int NOT NULL DEFAULT 0,
  deadline      timestamptz,
  created_at    timestamptz NOT NULL,
  started_at    timestamptz,
  closed_at     timestamptz,
  waits         text,                      -- what a waiting run waits for
  problem       text,                      -- why a blocked run is blocked
  error_name    text,
  error_message text,
  parent_run_id text COLLATE "C",
  parent_op     int,
  attributes    jsonb
) WITH (fillfactor = 70);

-- Claiming: one range per queue, workflow and version.
CREATE INDEX runs_ready ON stet_store.runs (queue, workflow, version, priority DESC, due) WHERE status = 'pending';
CREATE INDEX runs_suspect ON stet_store.runs (run_id) WHERE status = 'pending' AND crashes > 1;
CREATE INDEX runs_waking ON stet_store.runs (due) WHERE status = 'waiting' AND due IS NOT NULL;
CREATE INDEX runs_unread ON stet_store.runs (run_id) WHERE status = 'waiting' AND msgs > seen;
CREATE INDEX runs_owned ON stet_store.runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_blocked ON stet_store.runs (workflow) WHERE status = 'blocked';
-- At most one open run per id. Generated ids are run ids and need neither index.
CREATE UNIQUE INDEX runs_open_id ON stet_store.runs (id) WHERE closed_at IS NULL AND id <> run_id;
CREATE INDEX runs_by_id ON stet_store.runs (id, created_at DESC) WHERE id <> run_id;

CREATE TABLE stet_store.history (
  run_id  text COLLATE "C" NOT NULL,
  seq     int NOT NULL,
  type    text COLLATE "C" NOT NULL,
  op      int,
  name    text,
  payload text,
  facts   text,
  at      timestamptz NOT NULL,
  batch   text,                            -- which write of which worker put it here
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE stet_store.inbox (
  run_id  text COLLATE "C" NOT NULL,
  n       int NOT NULL,
  kind    text COLLATE "C" NOT NULL,
  name    text,
  payload text,
  at      timestamptz NOT NULL,
  PRIMARY KEY (run_id, n)
);

-- Ids of messages that a run has accepted, so that sending again has no second effect.
CREATE TABLE stet_store.message_ids (
  run_id     text COLLATE "C" NOT NULL,
  message_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, message_id)
);

-- What a step saved for its next attempt; only the last one counts.
CREATE TABLE stet_store.checkpoints (
  run_id  text COLLATE "C" NOT NULL,
  op      int NOT NULL,
  payload text,
  at      timestamptz NOT NULL,
  PRIMARY KEY (run_id, op)
);

-- Waits until a worker's session is gone (true) or a while has passed (false). A lock that is not had in time is
-- caught here, where it leaves no error in the server's log.
CREATE FUNCTION stet_store.await_worker_end(worker text, patience text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('lock_timeout', patience, true);
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('stet worker ' || worker, 0));
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;
`
