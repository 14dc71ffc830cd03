/**
 * Flow control. A *limit* bounds the runs of a queue or of a workflow, all together or for each value of a key in their
 * inputs. What one limit counts under one value is a *gate*. Runs that wait behind the same gates stand in one *line*; a
 * run that is claimed has a *slot* behind each of its gates for as long as a worker owns it.
 *
 * F1. A run has a line exactly while it is pending and was put into it, or runs with slots. Whatever else becomes of it,
 *     the trigger takes it out, and its slots are free in the same commit: they cannot leak.
 * F2. Slots are counted after the rows of the limits were locked, by a statement of its own: each sees all that others
 *     took before. So a limit is never exceeded.
 * F3. What opens a line again is on record (\`freed\`, \`opens_at\`), and whoever claims next looks there first. So closed
 *     lines cost nothing, however many there are.
 * F4. Limits come and go while no claim of a lane that has some is under way. A run that somebody held then may stay in
 *     a line that is none of theirs: whoever claims sees that by the gates of the line, and lets it stand in line anew.
 */
export const m0009 = /* sql */ `
CREATE TABLE stet_store.limits (
  scope       text COLLATE "C" NOT NULL CHECK (scope IN ('queue', 'workflow')),
  name        text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,       -- a path into the input; '': all runs together
  concurrency int,
  rate        int,                             -- begun in any period of this length, at most
  period_ms   float8,
  paused      boolean NOT NULL DEFAULT false,
  declared    jsonb,                           -- what the code says; NULL: nothing
  overridden  boolean NOT NULL DEFAULT false,  -- it was set while the system ran, whatever the code says
  changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (scope, name, key)
) WITH (fillfactor = 50);

CREATE SEQUENCE stet_store.turns;

CREATE TABLE stet_store.lines (
  queue     text COLLATE "C" NOT NULL,
  workflow  text COLLATE "C" NOT NULL,
  version   int NOT NULL,
  line      text COLLATE "C" NOT NULL,
  gates     text[] COLLATE "C" NOT NULL,       -- those of its keys; what counts for all is looked up
  fresh     boolean NOT NULL,                  -- runs that nobody has begun: rates count these
  turn      bigint NOT NULL DEFAULT nextval('stet_store.turns'),
  closed_by text COLLATE "C",                  -- the gate that is full
  opens_at  timestamptz,
  PRIMARY KEY (queue, workflow, version, line)
) WITH (fillfactor = 70);
CREATE INDEX lines_open ON stet_store.lines (queue, workflow, version, turn) WHERE closed_by IS NULL;
CREATE INDEX lines_closed ON stet_store.lines (closed_by) WHERE closed_by IS NOT NULL;
CREATE INDEX lines_opening ON stet_store.lines (opens_at) WHERE opens_at IS NOT NULL;

CREATE TABLE stet_store.slots (
  run_id text COLLATE "C" NOT NULL,
  gate   text COLLATE "C" NOT NULL,
  PRIMARY KEY (run_id, gate)
);
CREATE INDEX slots_of ON stet_store.slots (gate);

-- Gates of keys that had a slot given back since somebody last looked.
CREATE TABLE stet_store.freed (gate text COLLATE "C" NOT NULL);

-- How many runs were begun behind a gate with a rate, in each two-hundredth of its period.
CREATE TABLE stet_store.takings (
  gate       text COLLATE "C" NOT NULL,
  part       bigint NOT NULL,
  n          int NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (gate, part)
);
CREATE INDEX takings_over ON stet_store.takings (expires_at);

ALTER TABLE stet_store.runs ADD COLUMN line text COLLATE "C" NOT NULL DEFAULT '';
DROP INDEX stet_store.runs_ready;
-- Claiming: one range per queue, workflow, version and line. Runs that no limit counts have the line ''.
CREATE INDEX runs_ready ON stet_store.runs (queue, workflow, version, line, priority DESC, due) WHERE status = 'pending';

-- The name of a gate: of a limit without a key '["queue","mail"]', of one with '["workflow","order","customer.id","c-7"]'.
CREATE FUNCTION stet_store.gate(scope text, name text, key text, value text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN key = '' THEN json_build_array(scope, name)
              ELSE json_build_array(scope, name, key, CASE WHEN octet_length(value) > 300 THEN left(value, 60) || md5(value) ELSE value END)
         END::text $$;

-- What stands under a path in an input; '' where nothing does, or where nobody can look (a payload codec).
CREATE FUNCTION stet_store.key_value(payload text, path text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF payload IS NULL THEN RETURN ''; END IF;
  RETURN coalesce(CASE WHEN payload LIKE '~%' THEN stet_store.payload_json(payload) ELSE payload::json END #>> string_to_array(path, '.'), '');
EXCEPTION WHEN OTHERS THEN
  RETURN '';
END $$;

-- F1.
CREATE FUNCTION stet_store.leave_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.owner IS NOT NULL THEN
    WITH s AS (DELETE FROM stet_store.slots WHERE run_id = OLD.run_id RETURNING gate)
    INSERT INTO stet_store.freed (gate) SELECT gate FROM s WHERE json_array_length(gate::json) > 2;
    PERFORM pg_notify('stet', 'r' || OLD.queue);
  END IF;
  NEW.line := '';
  RETURN NEW;
END $$;
CREATE TRIGGER leave_line BEFORE UPDATE ON stet_store.runs FOR EACH ROW
  WHEN (OLD.line <> '' AND (NEW.status NOT IN ('pending', 'running') OR (OLD.owner IS NOT NULL AND NEW.owner IS NULL)))
  EXECUTE FUNCTION stet_store.leave_line();

-- What a gate leaves: slots, and runs that may begin (NULL: no bound), and when more may begin if none may now. A part
-- counts until all of it is a period ago.
CREATE FUNCTION stet_store.room(gate text, concurrency int, rate int, period_ms float8, now timestamptz,
                                OUT slots int, OUT begins int, OUT opens timestamptz) LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN concurrency IS NOT NULL THEN concurrency - (SELECT count(*)::int FROM stet_store.slots s WHERE s.gate = room.gate) END,
         rate - t.n, CASE WHEN rate IS NOT NULL THEN to_timestamp((coalesce(t.first, p.part) + 201) * p.ms / 1000) END
    FROM (SELECT period_ms / 200 AS ms, floor(extract(epoch FROM now) * 1000 / (period_ms / 200))::bigint AS part) p,
         LATERAL (SELECT coalesce(sum(x.n), 0)::int AS n, min(x.part) AS first FROM stet_store.takings x
                   WHERE rate IS NOT NULL AND x.gate = room.gate AND x.part >= p.part - 200) t $$;

CREATE FUNCTION stet_store.note_takings(gates text[], n int, now timestamptz) RETURNS void LANGUAGE sql AS $$
  INSERT INTO stet_store.takings AS t (gate, part, n, expires_at)
  SELECT g.gate, floor(extract(epoch FROM now) * 1000 / (l.period_ms / 200))::bigint, note_takings.n, now + 2 * l.period_ms * interval '1 ms'
    FROM unnest(gates) g(gate)
    JOIN stet_store.limits l ON l.scope = g.gate::json ->> 0 AND l.name = g.gate::json ->> 1 AND l.key = coalesce(g.gate::json ->> 2, '')
   WHERE l.rate IS NOT NULL
      ON CONFLICT (gate, part) DO UPDATE SET n = t.n + excluded.n $$;

-- Makes the next runs of a line a worker's own.
CREATE FUNCTION stet_store.take(me text, in_queue text, in_workflow text, in_version int, in_line text, code int, room int,
                                now timestamptz, suspect_after int, suspects boolean, aged boolean) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  next text[];
BEGIN
  IF aged THEN
    WITH RECURSIVE level AS (
      (SELECT r.priority FROM stet_store.runs r
        WHERE r.status = 'pending' AND r.queue = in_queue AND r.workflow = in_workflow AND r.version = in_version AND r.line = in_line
        ORDER BY r.priority DESC LIMIT 1)
      UNION ALL
      SELECT n.priority FROM level l, LATERAL (
        SELECT r.priority FROM stet_store.runs r
         WHERE r.status = 'pending' AND r.queue = in_queue AND r.workflow = in_workflow AND r.version = in_version AND r.line = in_line
           AND r.priority < l.priority ORDER BY r.priority DESC LIMIT 1) n),
    x AS MATERIALIZED (
      SELECT y.* FROM level l, LATERAL (
        SELECT r.run_id, r.due, r.priority FROM stet_store.runs r
         WHERE r.status = 'pending' AND r.queue = in_queue AND r.workflow = in_workflow AND r.version = in_version AND r.line = in_line
           AND r.priority = l.priority AND r.due <= now AND (r.crashes >= suspect_after) = suspects
         ORDER BY r.due LIMIT room FOR UPDATE SKIP LOCKED) y
       ORDER BY y.due - y.priority * interval '1 minute' LIMIT room)
    SELECT array_agg(x.run_id ORDER BY x.due - x.priority * interval '1 minute') INTO next FROM x;
  ELSE
    WITH x AS MATERIALIZED (
      SELECT r.run_id, r.priority, r.due FROM stet_store.runs r
       WHERE r.status = 'pending' AND r.queue = in_queue AND r.workflow = in_workflow AND r.version = in_version AND r.line = in_line
         AND r.due <= now AND (r.crashes >= suspect_after) = suspects
       ORDER BY r.priority DESC, r.due LIMIT room FOR UPDATE SKIP LOCKED)
    SELECT array_agg(x.run_id ORDER BY x.priority DESC, x.due) INTO next FROM x;
  END IF;
  UPDATE stet_store.runs r
     SET status = 'running', owner = me, claim = r.claim + 1, started_at = coalesce(r.started_at, date_trunc('milliseconds', now)), waits = NULL,
         problem = NULL, version = CASE WHEN r.version = 0 THEN code ELSE r.version END
   WHERE r.run_id = ANY(next);
  RETURN coalesce(next, '{}');
END $$;

-- Takes runs that are ready out of their lines: turn about between lines, within one by priority, then by age. With
-- \`aged\` a minute of waiting counts as much as one of priority. One row for each run; without any, one that says when to
-- ask again (\`next_at\`, which is the same in all rows).
CREATE FUNCTION stet_store.claim_in_line(me text, queues text[], workflows text[], versions int[], codes int[],
                                         wanted int, suspect_after int, suspects boolean, aged boolean)
RETURNS TABLE (run_id text, id text, workflow text, version int, queue text, claim int, msgs int, crashes smallint,
               has_parent boolean, deadline_ms float8, payload text, facts text, at float8, next_at float8)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  now timestamptz;
  keyed boolean;                       -- some of the limits have keys
  adopted int;
  remaining int := wanted;
  again boolean := false;
  taken text[] := '{}';
  got text[];
  n int;
  room int;
  tight text;                          -- the gate that leaves the least room
  tight_opens timestamptz;
  next_opens timestamptz;
  all_gates text[];                    -- of limits without a key, counted once
  all_slots int[];                     -- NULL: no bound
  all_begins int[];
  all_opens timestamptz[];
  keys int[];                          -- of each lane: how many of its limits have keys
  known int;
  mine text[];
  i int;
  s record;
  g record;
BEGIN
  -- If the claim is lost in a crash of the server, the worker's first append is refused.
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM FROM stet_store.workers w WHERE w.id = me FOR KEY SHARE;
  IF NOT FOUND THEN RETURN; END IF;
  -- F2. In one order, so that nobody waits in a circle.
  PERFORM FROM stet_store.limits l WHERE (l.scope = 'queue' AND l.name = ANY(queues)) OR (l.scope = 'workflow' AND l.name = ANY(workflows))
    ORDER BY l.scope, l.name, l.key FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  -- And those that came while this waited for the others.
  PERFORM FROM stet_store.limits l WHERE (l.scope = 'queue' AND l.name = ANY(queues)) OR (l.scope = 'workflow' AND l.name = ANY(workflows))
    ORDER BY l.scope, l.name, l.key FOR NO KEY UPDATE;
  now := stet_store.clock();
  SELECT array_agg(a.queue), array_agg(a.workflow), array_agg(a.version), array_agg(a.code), array_agg(a.keys), bool_or(a.keys > 0)
    INTO queues, workflows, versions, codes, keys, keyed
    FROM (SELECT lane.queue, lane.workflow, lane.version, lane.code, count(*) FILTER (WHERE l.key <> '')::int AS keys
            FROM unnest(queues, workflows, versions, codes) lane(queue, workflow, version, code)
            JOIN stet_store.limits l ON (l.scope = 'queue' AND l.name = lane.queue) OR (l.scope = 'workflow' AND l.name = lane.workflow)
           GROUP BY 1, 2, 3, 4) a;
  IF queues IS NULL THEN RETURN; END IF;

  -- F3.
  WITH f AS (
    DELETE FROM stet_store.freed f USING stet_store.limits l
     WHERE f.gate::json ->> 0 = l.scope AND f.gate::json ->> 1 = l.name AND f.gate::json ->> 2 = l.key
       AND ((l.scope = 'queue' AND l.name = ANY(queues)) OR (l.scope = 'workflow' AND l.name = ANY(workflows)))
    RETURNING f.gate)
  UPDATE stet_store.lines s SET closed_by = NULL, opens_at = NULL FROM (SELECT DISTINCT gate FROM f) f WHERE s.closed_by = f.gate;
  UPDATE stet_store.lines s SET closed_by = NULL, opens_at = NULL
   WHERE s.opens_at <= now AND (s.queue, s.workflow, s.version) IN (SELECT * FROM unnest(queues, workflows, versions));

  -- Runs that have become ready get into line: the next in order, more than are taken, so that within a line the order is
  -- kept; and the latest, so that nobody waits until the whole backlog of another is in line.
  WITH o AS MATERIALIZED (
    SELECT x.* FROM unnest(queues, workflows, versions) lane(queue, workflow, version), LATERAL (
      SELECT r.run_id, r.queue, r.workflow, r.version, r.claim = 0 AS fresh FROM stet_store.runs r
       WHERE r.status = 'pending' AND r.queue = lane.queue AND r.workflow = lane.workflow AND r.version = lane.version AND r.line = '' AND r.due <= now
       ORDER BY r.priority DESC, r.due LIMIT greatest(200, wanted) FOR UPDATE SKIP LOCKED) x),
  l AS MATERIALIZED (
    SELECT x.* FROM unnest(queues, workflows, versions) lane(queue, workflow, version), LATERAL (
      SELECT r.run_id, r.queue, r.workflow, r.version, r.claim = 0 AS fresh FROM stet_store.runs r
       WHERE keyed AND r.status = 'pending' AND r.queue = lane.queue AND r.workflow = lane.workflow AND r.version = lane.version AND r.line = ''
         AND r.due <= now
       ORDER BY r.priority, r.due DESC LIMIT 50 FOR UPDATE SKIP LOCKED) x),
  a AS MATERIALIZED (SELECT * FROM o UNION SELECT * FROM l),
  k AS MATERIALIZED (
    SELECT a.*, coalesce(v.gates, '{}') AS gates,
           CASE WHEN a.fresh THEN '+' ELSE '=' END || coalesce(md5(array_to_string(v.gates, ',')), '') AS line
      FROM a LEFT JOIN LATERAL (SELECT h.payload FROM stet_store.history h WHERE keyed AND h.run_id = a.run_id AND h.seq = 1 LIMIT 1) h ON true, LATERAL (
      SELECT array_agg(stet_store.gate(l.scope, l.name, l.key, stet_store.key_value(h.payload, l.key)) ORDER BY l.scope, l.name, l.key) AS gates
        FROM stet_store.limits l
       WHERE keyed AND l.key <> '' AND ((l.scope = 'queue' AND l.name = a.queue) OR (l.scope = 'workflow' AND l.name = a.workflow))) v),
  u AS (UPDATE stet_store.runs r SET line = k.line FROM k WHERE r.run_id = k.run_id RETURNING r.run_id),
  q AS (
    INSERT INTO stet_store.lines (queue, workflow, version, line, gates, fresh)
    SELECT DISTINCT ON (k.queue, k.workflow, k.version, k.line) k.queue, k.workflow, k.version, k.line, k.gates, k.fresh FROM k ON CONFLICT DO NOTHING)
  SELECT count(*) INTO adopted FROM u;

  -- What the limits without a key leave.
  SELECT array_agg(c.gate), array_agg(c.slots), array_agg(c.begins), array_agg(c.opens)
    INTO all_gates, all_slots, all_begins, all_opens
    FROM (SELECT x.gate, f.slots, f.begins, f.opens FROM stet_store.limits l, LATERAL (SELECT stet_store.gate(l.scope, l.name, '', '') AS gate) x,
                 LATERAL stet_store.room(x.gate, CASE WHEN l.paused THEN 0 ELSE l.concurrency END, l.rate, l.period_ms, now) f
           WHERE l.key = '' AND ((l.scope = 'queue' AND l.name = ANY(queues)) OR (l.scope = 'workflow' AND l.name = ANY(workflows)))) c;

  FOR s IN
    SELECT x.*, count(*) OVER () AS lines, row_number() OVER (ORDER BY p.priority DESC NULLS FIRST, x.turn) AS nth
      FROM unnest(queues, workflows, versions, codes, keys) lane(queue, workflow, version, code, keys),
           LATERAL (SELECT greatest(0, least(wanted, min(all_slots[q.i]))) AS free
                      FROM generate_subscripts(all_gates, 1) q(i)
                     WHERE all_gates[q.i] IN (stet_store.gate('queue', lane.queue, '', ''), stet_store.gate('workflow', lane.workflow, '', ''))) f,
           LATERAL (SELECT l.*, lane.code, lane.keys FROM stet_store.lines l
                     WHERE l.queue = lane.queue AND l.workflow = lane.workflow AND l.version = lane.version AND l.closed_by IS NULL
                       AND (NOT suspects OR EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.crashes > 1
                              AND r.queue = l.queue AND r.workflow = l.workflow AND r.version = l.version AND r.line = l.line))
                     ORDER BY l.turn LIMIT f.free) x
           LEFT JOIN LATERAL (SELECT r.priority FROM stet_store.runs r
                     WHERE r.status = 'pending' AND r.queue = x.queue AND r.workflow = x.workflow AND r.version = x.version AND r.line = x.line
                     ORDER BY r.priority DESC, r.due LIMIT 1) p ON true
     ORDER BY nth LIMIT wanted
  LOOP
    EXIT WHEN remaining <= 0;
    room := ceil(remaining::numeric / greatest(1, least(s.lines, wanted) - s.nth + 1));
    tight := NULL;
    tight_opens := NULL;
    mine := s.gates;
    FOR i IN 1 .. coalesce(cardinality(all_gates), 0) LOOP
      CONTINUE WHEN all_gates[i] NOT IN (stet_store.gate('queue', s.queue, '', ''), stet_store.gate('workflow', s.workflow, '', ''));
      mine := mine || all_gates[i];
      room := greatest(0, least(room, all_slots[i], CASE WHEN s.fresh THEN all_begins[i] END));
      IF s.fresh AND all_begins[i] <= 0 AND coalesce(all_slots[i], 1) > 0 THEN next_opens := least(next_opens, all_opens[i]); END IF;
    END LOOP;
    CONTINUE WHEN room = 0;
    known := 0;
    FOR g IN
      SELECT k.gate, f.slots, CASE WHEN s.fresh THEN f.begins END AS begins, f.opens
        FROM unnest(s.gates) k(gate)
        JOIN stet_store.limits l ON l.scope = k.gate::json ->> 0 AND l.name = k.gate::json ->> 1 AND l.key = k.gate::json ->> 2,
             LATERAL stet_store.room(k.gate, CASE WHEN l.paused THEN 0 ELSE l.concurrency END, l.rate, l.period_ms, now) f
    LOOP
      known := known + 1;
      IF least(g.slots, g.begins) <= room THEN
        room := greatest(0, least(g.slots, g.begins));
        tight := g.gate;
        -- A slot that is given back opens it too; both are looked at then.
        tight_opens := CASE WHEN g.begins <= room THEN g.opens END;
      END IF;
    END LOOP;
    IF known <> s.keys OR known <> cardinality(s.gates) THEN
      -- Its runs were held by somebody when a limit came: they get into line anew.
      UPDATE stet_store.runs r SET line = '' FROM (
        SELECT x.run_id FROM stet_store.runs x WHERE x.status = 'pending' AND x.queue = s.queue AND x.workflow = s.workflow AND x.version = s.version
           AND x.line = s.line LIMIT 500 FOR UPDATE SKIP LOCKED) x WHERE r.run_id = x.run_id;
      DELETE FROM stet_store.lines l WHERE l.queue = s.queue AND l.workflow = s.workflow AND l.version = s.version AND l.line = s.line
         AND NOT EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.queue = s.queue AND r.workflow = s.workflow
                            AND r.version = s.version AND r.line = s.line);
      again := true;
      CONTINUE;
    END IF;
    got := '{}';
    IF room > 0 THEN
      got := stet_store.take(me, s.queue, s.workflow, s.version, s.line, s.code, room, now, suspect_after, suspects, aged);
    END IF;
    n := cardinality(got);
    IF n > 0 THEN
      taken := taken || got;
      remaining := remaining - n;
      INSERT INTO stet_store.slots (run_id, gate) SELECT r.run_id, k.gate FROM unnest(got) r(run_id), unnest(mine) k(gate);
      IF s.fresh THEN PERFORM stet_store.note_takings(mine, n, now); END IF;
      FOR i IN 1 .. coalesce(cardinality(all_gates), 0) LOOP
        CONTINUE WHEN all_gates[i] <> ALL(mine);
        all_slots[i] := all_slots[i] - n;
        IF s.fresh THEN
          all_begins[i] := all_begins[i] - n;
          IF all_begins[i] <= 0 THEN next_opens := least(next_opens, coalesce(all_opens[i], now)); END IF;
        END IF;
      END LOOP;
    END IF;
    IF NOT EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.queue = s.queue AND r.workflow = s.workflow
                                   AND r.version = s.version AND r.line = s.line) THEN
      -- Whoever stood there went elsewhere (was paused, cancelled): others, that were not looked at, have their turn.
      IF n = 0 THEN again := true; END IF;
      DELETE FROM stet_store.lines l WHERE l.queue = s.queue AND l.workflow = s.workflow AND l.version = s.version AND l.line = s.line;
    ELSE
      UPDATE stet_store.lines l SET turn = nextval('stet_store.turns'),
             closed_by = CASE WHEN n = room THEN tight END, opens_at = CASE WHEN n = room THEN tight_opens END
       WHERE l.queue = s.queue AND l.workflow = s.workflow AND l.version = s.version AND l.line = s.line;
    END IF;
  END LOOP;

  SELECT least(next_opens, min(o.opens_at)) INTO next_opens
    FROM unnest(queues, workflows, versions) lane(queue, workflow, version),
         LATERAL (SELECT l.opens_at FROM stet_store.lines l
                   WHERE l.queue = lane.queue AND l.workflow = lane.workflow AND l.version = lane.version AND l.opens_at IS NOT NULL
                   ORDER BY l.opens_at LIMIT 1) o;
  -- There may be more to put in line.
  IF again OR adopted >= 200 THEN next_opens := now; END IF;
  IF random() < 0.01 THEN
    DELETE FROM stet_store.takings t USING (SELECT x.gate, x.part FROM stet_store.takings x WHERE x.expires_at < now LIMIT 1000 FOR UPDATE SKIP LOCKED) x
     WHERE t.gate = x.gate AND t.part = x.part;
  END IF;
  RETURN QUERY
    SELECT r.run_id, r.id, r.workflow, r.version, r.queue, r.claim, r.msgs, r.crashes, r.parent_run_id IS NOT NULL,
           (extract(epoch FROM r.deadline) * 1000)::float8, h.payload, h.facts, (extract(epoch FROM h.at) * 1000)::float8,
           (extract(epoch FROM next_opens) * 1000)::float8
      FROM (SELECT) one LEFT JOIN unnest(taken) WITH ORDINALITY t(run_id, nth) ON true LEFT JOIN stet_store.runs r ON r.run_id = t.run_id
           LEFT JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1 AND r.claim = 1
     ORDER BY t.nth;
END $$;
`
