/** How many kinds of ready runs (queue, workflow, version, priority) are looked at. */
export const maxKinds = 1_000

/**
 * `kinds`: jumps through the index of ready runs from one kind to the next; the first of a kind is its oldest. A part of
 * a recursive WITH. `more`: columns beside those of the index, each with a comma before it.
 */
export function readyKinds(more = ''): string {
  const columns = `queue, workflow, version, priority, due${more}`
  return `kinds AS (
  (SELECT ${columns} FROM stet_store.runs WHERE status = 'pending'
    ORDER BY queue, workflow, version, priority DESC, due LIMIT 1)
  UNION ALL
  SELECT n.* FROM kinds k, LATERAL (
    (SELECT ${columns} FROM stet_store.runs r
      WHERE status = 'pending' AND r.queue = k.queue AND r.workflow = k.workflow AND r.version = k.version AND r.priority < k.priority
      ORDER BY priority DESC, due LIMIT 1)
    UNION ALL
    (SELECT ${columns} FROM stet_store.runs r
      WHERE status = 'pending' AND (r.queue, r.workflow, r.version) > (k.queue, k.workflow, k.version)
      ORDER BY queue, workflow, version, priority DESC, due LIMIT 1)
    LIMIT 1) n)`
}
