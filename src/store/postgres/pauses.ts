import type { Db } from './db.js'

/** As the port has it. Its waits stay: they are computed anew when it goes on. */
export async function pauseRun(db: Db, runId: string, problem: string): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `UPDATE stet_store.runs SET status = 'paused', problem = $2
            WHERE run_id = $1 AND owner IS NULL AND status IN ('pending', 'waiting')`,
    values: [runId, problem],
  })
  return rowCount === 1
}

/** As the port has it. Requests to pause that nobody has read yet are void. */
export async function resumeRun(db: Db, runId: string): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `WITH d AS (
             DELETE FROM stet_store.inbox i USING stet_store.runs r
              WHERE r.run_id = $1 AND r.status IN ('blocked', 'paused') AND i.run_id = r.run_id AND i.kind = 'pause')
           UPDATE stet_store.runs r
              SET status = CASE WHEN w.waits THEN 'waiting' ELSE 'pending' END,
                  due = CASE WHEN w.waits THEN r.due ELSE stet_store.clock() END,
                  problem = NULL, crashes = 0, crash_seq = 0
             FROM (SELECT run_id, claim = 0 AND due > stet_store.clock() AS waits FROM stet_store.runs WHERE run_id = $1) w
            WHERE r.run_id = w.run_id AND r.status IN ('blocked', 'paused')`,
    values: [runId],
  })
  return rowCount === 1
}
