/** Schedules: when runs are started by themselves, and what became of each slot. */
export const m0010 = /* sql */ `
CREATE TABLE stet_store.schedules (
  id          text COLLATE "C" PRIMARY KEY,
  workflow    text COLLATE "C" NOT NULL,
  version     int,                           -- null: the highest that a live worker has
  queue       text COLLATE "C" NOT NULL DEFAULT 'default',
  priority    smallint NOT NULL DEFAULT 0,
  timeout_ms  float8,
  payload     text,
  attributes  jsonb,
  times       text NOT NULL,                 -- when, as JSON
  overlap     text COLLATE "C" NOT NULL DEFAULT 'skip'
              CHECK (overlap IN ('skip', 'bufferOne', 'bufferAll', 'cancelOther', 'terminateOther', 'allow')),
  catch_up_ms float8 NOT NULL DEFAULT 86400000,
  max_runs    int CHECK (max_runs > 0),
  note        text,
  source      text COLLATE "C" NOT NULL,
  paused      boolean NOT NULL DEFAULT false,
  cursor      timestamptz NOT NULL,          -- slots up to here are dealt with
  next_slot   timestamptz,
  next_fire   timestamptz,                   -- that, with its jitter
  next_at     timestamptz,                   -- when somebody is to look at it
  problem     text,                          -- its times cannot be read
  runs        int NOT NULL DEFAULT 0,        -- that slots have started
  buffered    int NOT NULL DEFAULT 0,
  last        timestamptz,                   -- the last slot that started a run
  created_at  timestamptz NOT NULL,
  updated_at  timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX schedules_next ON stet_store.schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_of_config ON stet_store.schedules (id) WHERE source = 'config';

CREATE TABLE stet_store.schedule_fires (
  schedule  text COLLATE "C" NOT NULL,
  slot      timestamptz NOT NULL,
  status    text COLLATE "C" NOT NULL,
  via       text COLLATE "C" NOT NULL,
  at        timestamptz NOT NULL,
  run_id    text COLLATE "C",
  overlap   text COLLATE "C",               -- other than the schedule's
  reason    text,
  until     timestamptz,                     -- missed: all slots up to here were
  PRIMARY KEY (schedule, slot)
);
CREATE INDEX schedule_fires_open ON stet_store.schedule_fires (schedule, status, slot) WHERE status IN ('due', 'buffered');

-- As Date.toISOString has it: part of the id of a run.
CREATE FUNCTION stet_store.iso(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

CREATE VIEW stet.schedules AS
  SELECT id, workflow, version, queue, priority, times::json AS times, overlap, catch_up_ms * interval '1 ms' AS catch_up, paused, note,
         next_slot AS next, last, runs, max_runs, buffered, source, problem, stet_store.payload_json(payload) AS input, attributes,
         created_at, updated_at
    FROM stet_store.schedules;

CREATE VIEW stet.schedule_fires AS
  SELECT schedule, slot, status, via, at, schedule || '@' || stet_store.iso(slot) AS id, run_id, reason, until
    FROM stet_store.schedule_fires;

-- Makes a schedule: times as {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}. Its next slot comes from the first worker that looks.
CREATE FUNCTION stet.create_schedule(id text, workflow text, times json, input json DEFAULT NULL, queue text DEFAULT 'default',
                                     overlap text DEFAULT 'skip', catch_up interval DEFAULT '1 day', max_runs int DEFAULT NULL,
                                     priority int DEFAULT 0, paused boolean DEFAULT false, note text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE now_ms timestamptz := date_trunc('milliseconds', stet_store.clock());
BEGIN
  IF coalesce(id, '') = '' OR octet_length(id) > 200 OR id ~ '[\\x01-\\x1f\\x7f]' THEN
    RAISE EXCEPTION 'stet.create_schedule: id: expected text of 1 to 200 bytes without control characters' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF coalesce(workflow, '') = '' THEN
    RAISE EXCEPTION 'stet.create_schedule: workflow: expected the name of a workflow' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF json_typeof(times) IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION 'stet.create_schedule: times: expected an object such as {"cron": "0 3 * * *"}' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO stet_store.schedules (id, workflow, queue, priority, payload, times, overlap, catch_up_ms, max_runs, note, source, paused,
                                    cursor, next_at, created_at, updated_at)
  VALUES (create_schedule.id, create_schedule.workflow, coalesce(create_schedule.queue, 'default'), create_schedule.priority, input::text,
          create_schedule.times::text, create_schedule.overlap, extract(epoch FROM catch_up) * 1000, create_schedule.max_runs, create_schedule.note,
          'sql', create_schedule.paused, now_ms, now_ms, now_ms, now_ms);
  PERFORM pg_notify('stet', 'l0');
END $$;

CREATE FUNCTION stet_store.schedule_missing(what text, id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'stet.%_schedule: no schedule has the id "%"', what, id USING ERRCODE = 'no_data_found';
END $$;

CREATE FUNCTION stet.pause_schedule(id text, note text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE stet_store.schedules s SET paused = true, note = coalesce(pause_schedule.note, s.note), next_slot = NULL, next_fire = NULL,
         next_at = stet_store.clock(), updated_at = stet_store.clock()
   WHERE s.id = pause_schedule.id;
  IF NOT FOUND THEN PERFORM stet_store.schedule_missing('pause', id); END IF;
END $$;

CREATE FUNCTION stet.resume_schedule(id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE stet_store.schedules s SET cursor = CASE WHEN s.paused THEN stet_store.clock() ELSE s.cursor END, paused = false,
         next_at = stet_store.clock(), updated_at = stet_store.clock()
   WHERE s.id = resume_schedule.id;
  IF NOT FOUND THEN PERFORM stet_store.schedule_missing('resume', id); END IF;
  PERFORM pg_notify('stet', 'l0');
END $$;

-- Asks for a fire by hand, of this moment, through the schedule's overlap policy. Returns the id that its run will have.
CREATE FUNCTION stet.trigger_schedule(id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE slot timestamptz := date_trunc('milliseconds', stet_store.clock());
BEGIN
  UPDATE stet_store.schedules s SET next_at = stet_store.clock() WHERE s.id = trigger_schedule.id;
  IF NOT FOUND THEN PERFORM stet_store.schedule_missing('trigger', id); END IF;
  LOOP
    INSERT INTO stet_store.schedule_fires (schedule, slot, status, via, at) VALUES (trigger_schedule.id, slot, 'due', 'trigger', stet_store.clock())
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    slot := slot + interval '1 ms';
  END LOOP;
  PERFORM pg_notify('stet', 'l0');
  RETURN id || '@' || stet_store.iso(slot);
END $$;

CREATE FUNCTION stet.delete_schedule(id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM stet_store.schedules s WHERE s.id = delete_schedule.id;
  IF NOT FOUND THEN PERFORM stet_store.schedule_missing('delete', id); END IF;
  DELETE FROM stet_store.schedule_fires f WHERE f.schedule = delete_schedule.id;
END $$;
`
