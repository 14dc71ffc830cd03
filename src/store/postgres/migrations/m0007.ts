/** Alerts: rules, what has fired, what is to be sent, and what rules look at that was not kept. */
export const m0007 = /* sql */ `
-- One row a name: what the config says, and what was edited in its place. Whether it is enabled outlives both.
CREATE TABLE stet_store.alert_rules (
  name           text COLLATE "C" PRIMARY KEY,
  config         jsonb,
  runtime        jsonb,
  enabled        boolean NOT NULL DEFAULT true,
  silenced_until timestamptz,
  changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (config IS NOT NULL OR runtime IS NOT NULL)
);

CREATE TABLE stet_store.alert_silences (
  fingerprint text COLLATE "C" PRIMARY KEY,
  until       timestamptz NOT NULL
);

-- One row for each time that a condition held; when it is over it is history, if it had fired.
CREATE TABLE stet_store.alerts (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rule         text COLLATE "C" NOT NULL,
  kind         text NOT NULL,
  fingerprint  text COLLATE "C" NOT NULL,
  state        text NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
  severity     text NOT NULL,
  labels       jsonb NOT NULL,
  value        float8 NOT NULL,
  summary      text NOT NULL,
  evidence     jsonb NOT NULL,
  since        timestamptz NOT NULL,
  fired_at     timestamptz,
  resolved_at  timestamptz,
  announced    boolean NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX alerts_open ON stet_store.alerts (fingerprint) WHERE resolved_at IS NULL;
CREATE INDEX alerts_of ON stet_store.alerts (fingerprint);
CREATE INDEX alerts_fired ON stet_store.alerts (id) WHERE fired_at IS NOT NULL;

CREATE TABLE stet_store.alert_deliveries (
  n            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id           text COLLATE "C" NOT NULL UNIQUE,
  alert        bigint NOT NULL REFERENCES stet_store.alerts ON DELETE CASCADE,
  event        text NOT NULL CHECK (event IN ('firing', 'resolved')),
  body         text NOT NULL,
  created_at   timestamptz NOT NULL,
  attempts     int NOT NULL DEFAULT 0,
  next_at      timestamptz,                -- null: it is over
  delivered_at timestamptz,
  error        text
);
CREATE INDEX alert_deliveries_due ON stet_store.alert_deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX alert_deliveries_of ON stet_store.alert_deliveries (alert, n);

-- Who looks after alerts, for so long; and whether some process can send them.
CREATE TABLE stet_store.alert_evaluator (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder     text COLLATE "C",
  expires_at timestamptz NOT NULL DEFAULT '-infinity',
  webhook    boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
INSERT INTO stet_store.alert_evaluator DEFAULT VALUES;

-- Workers that went without being stopped: their lease was over, or runs were left behind. Noted by whoever removes the
-- row, in the same transaction. One that was killed while it had no run is noticed by its session, and not counted.
CREATE TABLE stet_store.lost_workers (
  at     timestamptz NOT NULL,
  worker text COLLATE "C" NOT NULL,
  host   text,
  runs   int NOT NULL
);
CREATE INDEX lost_workers_at ON stet_store.lost_workers (at);

CREATE FUNCTION stet_store.note_lost_worker() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  left_behind int := (SELECT count(*) FROM (SELECT FROM stet_store.runs r WHERE r.owner = OLD.id LIMIT 1001) x);
BEGIN
  IF left_behind > 0 OR OLD.expires_at < clock_timestamp() THEN
    INSERT INTO stet_store.lost_workers VALUES (stet_store.clock(), OLD.id, OLD.host, left_behind);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_lost_worker AFTER DELETE ON stet_store.workers FOR EACH ROW EXECUTE FUNCTION stet_store.note_lost_worker();

-- Open runs that were begun, the oldest first. A run gets an entry with its first claim and loses it with its close.
CREATE INDEX runs_open_since ON stet_store.runs (workflow, started_at) WHERE closed_at IS NULL AND started_at IS NOT NULL;

CREATE VIEW stet.alerts AS
  SELECT a.id, a.rule, a.kind, a.fingerprint, a.state, a.severity, a.labels, a.value, a.summary, a.evidence,
         a.since, a.fired_at, a.resolved_at,
         greatest(r.silenced_until, s.until) AS silenced_until
    FROM stet_store.alerts a
    LEFT JOIN stet_store.alert_rules r ON r.name = a.rule
    LEFT JOIN stet_store.alert_silences s ON s.fingerprint = a.fingerprint;
`
