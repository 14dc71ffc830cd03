/** Bulks: one operation on all runs that a filter names. Ends of runs, in the order in which retention comes to them. */
export const m0011 = /* sql */ `
CREATE TABLE stet_store.bulks (
  id            text COLLATE "C" PRIMARY KEY,   -- begins with its time: newest first is the order of ids
  operation     text NOT NULL,
  filter        jsonb NOT NULL,
  options       text,                           -- how to fork, as a payload
  words         jsonb NOT NULL,                 -- the reason, as histories, messages and rows of runs have it
  actor         text NOT NULL,
  state         text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'completed', 'cancelled', 'failed')),
  created_at    timestamptz NOT NULL,           -- runs that were made later do not count
  next_at       timestamptz NOT NULL,           -- no worker goes on with it before: what a part took is left to others
  closed_at     timestamptz,
  expected      int,                            -- runs that fitted the filter when it was made, as far as was counted
  expected_more boolean NOT NULL DEFAULT false,
  phase         int NOT NULL DEFAULT 0,
  cursor        text COLLATE "C",               -- newest first: all runs above it were come to
  held          text[] NOT NULL DEFAULT '{}',   -- come to while somebody had them locked: tried again
  seen          bigint NOT NULL DEFAULT 0,
  done          bigint NOT NULL DEFAULT 0,
  failed        bigint NOT NULL DEFAULT 0,
  refused       jsonb NOT NULL DEFAULT '{}',    -- how many, by the code of the reason
  examples      jsonb NOT NULL DEFAULT '[]',    -- the first that were refused or failed
  problem       text
) WITH (fillfactor = 50);
CREATE INDEX bulks_running ON stet_store.bulks (next_at) WHERE state = 'running';

CREATE VIEW stet.bulks AS
  SELECT id, operation, filter, actor, state, created_at, closed_at, expected, expected_more,
         seen, done, failed, refused, cardinality(held) AS held, problem
    FROM stet_store.bulks;

-- The oldest ends first, for retention; each is written once in the life of a run.
CREATE INDEX runs_ends ON stet_store.runs (workflow, status, closed_at, run_id) WHERE closed_at IS NOT NULL;

-- Runs whose callers' ids are in a range, in the order of ids and no more than asked for: by the index of ids, row by row.
CREATE FUNCTION stet_store.runs_named(low text, high text, most int) RETURNS SETOF text LANGUAGE sql STABLE
  SET enable_bitmapscan = off SET enable_sort = off AS
  $$ SELECT r.run_id FROM stet_store.runs r WHERE r.id >= low AND r.id < high AND r.id <> r.run_id
      ORDER BY r.id, r.created_at DESC LIMIT most $$;

-- How long closed runs are kept: what the config says, and what was set in its place. workflow '': all that have no row.
CREATE TABLE stet_store.retention (
  workflow   text COLLATE "C" NOT NULL,
  status     text COLLATE "C" NOT NULL,
  config_ms  float8,                            -- 'infinity': for ever
  runtime_ms float8,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (workflow, status)
);

-- Who deletes what is kept no longer, and until when nobody else does.
CREATE TABLE stet_store.retention_pass (
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder text COLLATE "C",
  until  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO stet_store.retention_pass DEFAULT VALUES;

-- Rows of histories of runs that were deleted: of long ones they go piece by piece.
CREATE TABLE stet_store.leftovers (
  run_id text COLLATE "C" PRIMARY KEY
);
`
