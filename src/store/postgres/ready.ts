/** How many kinds of ready runs (queue, workflow, version, priority), and how many lines, are looked at. */
const maxKinds = 1_000

/**
 * `kinds`: jumps through the index of ready runs from one kind to the next; the first of a kind is its oldest. A part of
 * a recursive WITH. `more`: columns beside those of the index, each with a comma before it. Of a lane whose runs stand in
 * lines there is the first of the first line.
 */
export function readyKinds(more = ''): string {
  const columns = `queue, workflow, version, line, priority, due${more}`
  return `jumps AS (
  (SELECT ${columns} FROM stet_store.runs WHERE status = 'pending'
    ORDER BY queue, workflow, version, line, priority DESC, due LIMIT 1)
  UNION ALL
  SELECT n.* FROM jumps k, LATERAL (
    (SELECT ${columns} FROM stet_store.runs r
      WHERE status = 'pending' AND r.queue = k.queue AND r.workflow = k.workflow AND r.version = k.version AND r.line = '' AND k.line = ''
        AND r.priority < k.priority
      ORDER BY priority DESC, due LIMIT 1)
    UNION ALL
    (SELECT ${columns} FROM stet_store.runs r
      WHERE status = 'pending' AND (r.queue, r.workflow, r.version) > (k.queue, k.workflow, k.version)
      ORDER BY queue, workflow, version, line, priority DESC, due LIMIT 1)
    LIMIT 1) n),
kinds AS (
  (SELECT * FROM jumps LIMIT ${maxKinds})
  UNION ALL
  -- Of lines those that have waited the longest for their turn.
  SELECT r.* FROM (SELECT queue, workflow, version, line FROM stet_store.lines LIMIT ${maxKinds}) l, LATERAL (
    SELECT ${columns} FROM stet_store.runs r
     WHERE r.status = 'pending' AND r.queue = l.queue AND r.workflow = l.workflow AND r.version = l.version AND r.line = l.line
     ORDER BY r.priority DESC, r.due LIMIT 1) r)`
}
