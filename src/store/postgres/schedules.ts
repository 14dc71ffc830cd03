/** Schedules in Postgres (S1 to S4 of `schedules.ts`). */
import { fireId } from '../../core/schedule/ids.js'
import { type FireVia, type Plan, type PlannedFire, planFires, replacedReason } from '../../core/schedule/plan.js'
import type { Slots } from '../../core/schedule/slots.js'
import { slotsOf } from '../../core/schedule/times.js'
import type { OverlapPolicy } from '../../core/types.js'
import type { StartRequest } from '../port.js'
import {
  firesKept,
  type Look,
  maxLooked,
  type ScheduleFacts,
  type ScheduleStore,
  type StoredFire,
  type StoredSchedule,
  slotsEach,
} from '../schedules.js'
import { newStart, settled } from '../slot-starts.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Query, Rows } from './db.js'
import { publish } from './hints.js'
import { ms } from './reads.js'
import { startRuns } from './starts.js'

type Run = (query: Query) => Promise<Rows>

const columns = `
  s.id, s.workflow, s.version, s.queue, s.priority, s.timeout_ms, s.payload, s.attributes, s.times, s.overlap, s.catch_up_ms, s.max_runs,
  s.note, s.source, s.paused, s.problem, s.runs, s.buffered, ${ms('s.cursor')} AS cursor, ${ms('s.next_slot')} AS next_slot, ${ms('s.last')} AS last,
  ${ms('s.created_at')} AS created_at, ${ms('s.updated_at')} AS updated_at`

function toSchedule(row: any): StoredSchedule {
  return {
    id: row.id,
    workflow: row.workflow,
    version: row.version,
    queue: row.queue,
    priority: row.priority,
    timeoutMs: row.timeout_ms,
    payload: row.payload,
    attributes: row.attributes,
    times: row.times,
    overlap: row.overlap,
    catchUpMs: row.catch_up_ms,
    maxRuns: row.max_runs,
    note: row.note,
    source: row.source,
    paused: row.paused,
    problem: row.problem,
    runs: row.runs,
    buffered: row.buffered,
    cursor: row.cursor,
    nextSlot: row.next_slot,
    last: row.last,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

const factColumns =
  'workflow, version, queue, priority, timeout_ms, payload, attributes, times, overlap, catch_up_ms, max_runs, note'

function factValues(facts: ScheduleFacts): unknown[] {
  return [
    facts.workflow,
    facts.version,
    facts.queue,
    facts.priority,
    facts.timeoutMs,
    facts.payload,
    facts.attributes === null ? null : JSON.stringify(facts.attributes),
    facts.times,
    facts.overlap,
    facts.catchUpMs,
    facts.maxRuns,
    facts.note,
  ]
}

const factParameters = '$2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13'

/** How long a call of a client waits for a database that does not answer, before it says so. */
const patient = { giveUpAfterMs: 15_000 }

export function schedulesOf(db: Db): ScheduleStore {
  return {
    create: (id, facts, source, paused) =>
      db.retrying(
        'make a schedule',
        async () => {
          const { rowCount } = await db.query({
            text: `WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at)
                   INSERT INTO stet_store.schedules (id, ${factColumns}, source, paused, cursor, next_at, created_at, updated_at)
                   SELECT $1, ${factParameters}, $14, $15, c.at, c.at, c.at, c.at FROM c ON CONFLICT DO NOTHING`,
            values: [id, ...factValues(facts), source, paused],
          })
          return rowCount === 1 ? null : findSchedule(db, id)
        },
        patient,
      ),
    change: (id, facts, { restart, source }) =>
      changed(
        db,
        'change a schedule',
        `(${factColumns}) = ROW(${factParameters}), problem = NULL, source = coalesce($15, s.source),
         cursor = CASE WHEN $14 THEN c.at ELSE s.cursor END, next_slot = NULL, next_fire = NULL, next_at = c.at, updated_at = c.at`,
        [id, ...factValues(facts), restart, source],
      ),
    setPaused: (id, paused, note) =>
      changed(
        db,
        paused ? 'pause a schedule' : 'resume a schedule',
        `cursor = CASE WHEN s.paused AND NOT $2 THEN c.at ELSE s.cursor END, paused = $2, note = CASE WHEN $3 THEN $4 ELSE s.note END,
         next_slot = NULL, next_fire = NULL, next_at = c.at, updated_at = c.at`,
        [id, paused, note !== undefined, note ?? null],
      ),
    remove: (id) =>
      db.retrying(
        'delete a schedule',
        async () => {
          const { rowCount } = await db.query({
            text: `WITH d AS (DELETE FROM stet_store.schedules WHERE id = $1 RETURNING id),
                   f AS (DELETE FROM stet_store.schedule_fires f USING d WHERE f.schedule = d.id)
                   SELECT FROM d`,
            values: [id],
          })
          return rowCount === 1
        },
        patient,
      ),
    find: (id) => db.retrying('look up a schedule', () => findSchedule(db, id), patient),
    list: (limit, after) =>
      db.retrying(
        'list schedules',
        async () => {
          const { rows } = await db.query({
            name: 'stet_schedules',
            text: `SELECT ${columns} FROM stet_store.schedules s WHERE s.id > $2 ORDER BY s.id LIMIT $1`,
            values: [limit, after ?? ''],
          })
          return rows.map(toSchedule)
        },
        patient,
      ),
    fires: (id, limit) =>
      db.retrying(
        'read fires',
        () => readFires(db, 'f.schedule = $1 ORDER BY f.slot DESC LIMIT $2', [id, limit]),
        patient,
      ),
    firesAt: (id, slots) =>
      db.retrying(
        'read fires',
        () =>
          readFires(db, 'f.schedule = $1 AND f.slot IN (SELECT to_timestamp(u / 1000) FROM unnest($2::float8[]) u)', [
            id,
            floatArray(slots),
          ]),
        patient,
      ),
    ask: (id, slots, via, overlap) =>
      db.retrying('ask for a fire', () => askForFires(db, id, slots, via, overlap), patient),
    look: (ids) =>
      db.retrying('look at schedules', async () => {
        const look = await db.transaction((query) => lookIn(query, ids))
        if (look.queues.length > 0) publish(db.calls, [{ kind: 'ready', queues: look.queues }]).catch(() => {})
        return look
      }),
  }
}

async function changed(db: Db, what: string, set: string, values: unknown[]): Promise<boolean> {
  return db.retrying(
    what,
    async () => {
      const { rowCount } = await db.query({
        text: `WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at)
               UPDATE stet_store.schedules s SET ${set} FROM c WHERE s.id = $1`,
        values,
      })
      return rowCount === 1
    },
    patient,
  )
}

async function findSchedule(db: Db, id: string): Promise<StoredSchedule | null> {
  const { rows } = await db.query({
    name: 'stet_schedule',
    text: `SELECT ${columns} FROM stet_store.schedules s WHERE s.id = $1`,
    values: [id],
  })
  return rows.length === 0 ? null : toSchedule(rows[0])
}

async function readFires(db: Db, where: string, values: unknown[]): Promise<StoredFire[]> {
  const { rows } = await db.query({
    text: `SELECT ${ms('f.slot')} AS slot, f.status, f.via, ${ms('f.at')} AS at, f.run_id, f.reason, ${ms('f.until')} AS until,
                  (SELECT r.status FROM stet_store.runs r WHERE r.run_id = f.run_id) AS run_status
             FROM stet_store.schedule_fires f WHERE ${where}`,
    values,
  })
  return rows.map((row) => ({
    slot: row.slot,
    status: row.status,
    via: row.via,
    at: row.at,
    runId: row.run_id,
    runStatus: row.run_status,
    reason: row.reason,
    until: row.until,
  }))
}

/** Rows of fires that are to be looked at; nobody waits for a row that is being looked at but the asker. */
async function askForFires(
  db: Db,
  id: string,
  slots: readonly number[] | null,
  via: 'trigger' | 'backfill',
  overlap: OverlapPolicy | null,
): Promise<number[] | null> {
  return db.transaction(async (query) => {
    const { rows } = await query({
      text: `WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at)
             UPDATE stet_store.schedules s SET next_at = c.at FROM c WHERE s.id = $1 RETURNING ${ms('c.at')} AS now`,
      values: [id],
    })
    if (rows.length === 0) return null
    let wanted = slots ?? [rows[0].now]
    for (;;) {
      const taken = await query({
        text: `INSERT INTO stet_store.schedule_fires AS f (schedule, slot, status, via, at, overlap)
               SELECT $1, to_timestamp(u / 1000), 'due', $3, to_timestamp($4::float8 / 1000), $5 FROM unnest($2::float8[]) u
                   ON CONFLICT (schedule, slot) DO UPDATE SET status = 'due', via = EXCLUDED.via, at = EXCLUDED.at, overlap = EXCLUDED.overlap,
                      reason = NULL
                WHERE EXCLUDED.via = 'backfill' AND f.status IN ('missed', 'skipped') AND f.until IS NULL
               RETURNING ${ms('slot')} AS slot`,
        values: [id, floatArray(wanted), via, rows[0].now, overlap],
      })
      // Two triggers of one millisecond are two.
      if (slots !== null || taken.rows.length > 0) return taken.rows.map(({ slot }) => slot)
      wanted = [wanted[0]! + 1]
    }
  })
}

// ── a look ───────────────────────────────────────────────────────────────────────────────────────

const takeDue = `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at)
SELECT ${columns}, ${ms('(SELECT at FROM c)')} AS now FROM stet_store.schedules s
 WHERE s.next_at <= (SELECT at FROM c) ORDER BY s.next_at LIMIT $1 FOR NO KEY UPDATE OF s SKIP LOCKED`

const takeNamed = `
SELECT ${columns}, ${ms('stet_store.clock()')} AS now FROM stet_store.schedules s
 WHERE s.id IN (SELECT unnest($1::text[])) ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED`

/** Of each schedule: what was asked for by hand, and the first that waits. */
const readOpenFires = `
SELECT u.id, f.status, f.via, f.overlap, ${ms('f.slot')} AS slot
  FROM unnest($1::text[]) AS u(id),
       LATERAL ((SELECT * FROM stet_store.schedule_fires f WHERE f.schedule = u.id AND f.status = 'due' ORDER BY f.slot LIMIT $2)
                UNION ALL
                (SELECT * FROM stet_store.schedule_fires f WHERE f.schedule = u.id AND f.status = 'buffered' ORDER BY f.slot LIMIT 1)) f`

/** As many as can be asked to end at once; one is enough to know. Ids of runs of a schedule stand together. */
const maxOpen = 20
const readOpenRuns = `
SELECT u.id, r.run_id
  FROM unnest($1::text[]) AS u(id),
       LATERAL (SELECT r.run_id FROM stet_store.runs r
                 WHERE r.closed_at IS NULL AND r.id <> r.run_id AND r.id >= u.id || '@' AND r.id < u.id || 'A'
                   AND octet_length(r.id) = octet_length(u.id) + 25 ORDER BY r.id LIMIT ${maxOpen}) r`

const readNextText = `SELECT ${ms('min(next_at)')} AS next FROM stet_store.schedules WHERE next_at IS NOT NULL`

/** What each look asks before it does anything. */
export const lookQueries = {
  due: (): Query => ({ name: 'stet_schedules_due', text: takeDue, values: [maxLooked] }),
  named: (ids: readonly string[]): Query => ({
    name: 'stet_schedules_named',
    text: takeNamed,
    values: [textArray(ids)],
  }),
  openFires: (ids: readonly string[], limit: number): Query => ({
    name: 'stet_fires_open',
    text: readOpenFires,
    values: [textArray(ids), limit],
  }),
  openRuns: (ids: readonly string[]): Query => ({
    name: 'stet_schedule_runs',
    text: readOpenRuns,
    values: [textArray(ids)],
  }),
  next: (): Query => ({ name: 'stet_schedules_next', text: readNextText }),
}

async function lookIn(query: Run, ids: readonly string[] | null): Promise<Look> {
  const { rows } = await query(ids === null ? lookQueries.due() : lookQueries.named(ids))
  if (rows.length === 0) return nothing(await readNext(query))
  const schedules = rows.map((row) => ({ ...toSchedule(row), now: row.now as number }))
  const names = schedules.map(({ id }) => id)
  const limit = slotsEach(schedules.length)
  const openFires = (await query(lookQueries.openFires(names, limit))).rows
  const openRuns = (await query(lookQueries.openRuns(names))).rows
  const problems: { schedule: string; problem: string }[] = []
  const planned: { schedule: StoredSchedule; plan: Plan; open: string[]; now: number }[] = []
  for (const schedule of schedules) {
    const { id, now } = schedule
    const slots = readable(schedule, problems)
    if (slots === null) continue
    const own = openFires.filter((row) => row.id === id)
    const asked = own.filter(({ status }) => status === 'due')
    const open = openRuns.filter((row) => row.id === id).map((row) => row.run_id as string)
    const plan = planFires({
      ...schedule,
      slots,
      left: schedule.maxRuns === null ? null : Math.max(0, schedule.maxRuns - schedule.runs),
      open: open.length > 0,
      oldest: own.find(({ status }) => status === 'buffered') ?? null,
      asked,
      more: asked.length === limit,
      limit,
    })
    planned.push({ schedule, plan, open, now })
  }
  const requests = new Map<string, StartRequest>()
  for (const { schedule, plan } of planned) {
    for (const { slot, status } of plan.fires) {
      if (status === 'started') requests.set(fireId(schedule.id, slot), newStart(schedule, slot))
    }
  }
  const started = [...requests.values()]
  const existing = started.length === 0 ? [] : await startRuns(query, started)
  const found = new Map(started.map(({ id }, i) => [id, existing[i]!]))
  const replaced = planned.filter(({ plan }) => plan.replaced).map(({ schedule }) => schedule.id)
  if (replaced.length > 0) {
    await query({
      text: `UPDATE stet_store.schedule_fires SET status = 'skipped', reason = $2 WHERE schedule = ANY($1) AND status = 'buffered'`,
      values: [replaced, replacedReason],
    })
  }
  const fires = planned.flatMap(({ schedule, plan }) =>
    plan.fires.map((fire) => {
      const id = fireId(schedule.id, fire.slot)
      return { schedule: schedule.id, ...settled(fire, requests.get(id), found.get(id) ?? null, schedule.workflow) }
    }),
  )
  if (fires.length > 0) await writeFires(query, fires)
  await writeSchedules(query, planned, fires)
  if (problems.length > 0) {
    await query({
      text: `UPDATE stet_store.schedules s SET problem = u.problem, next_at = NULL, next_slot = NULL, next_fire = NULL
               FROM unnest($1::text[], $2::text[]) AS u(id, problem) WHERE s.id = u.id`,
      values: [textArray(problems.map(({ schedule }) => schedule)), textArray(problems.map(({ problem }) => problem))],
    })
  }
  await prune(
    query,
    planned.filter(({ plan }) => plan.fires.length > 0).map(({ schedule }) => schedule.id),
  )
  return {
    looked: schedules.length,
    queues: [...new Set(started.map(({ queue }) => queue))],
    toEnd: planned.flatMap(({ schedule, plan, open }) =>
      plan.end === null ? [] : open.map((runId) => ({ runId, how: plan.end!, schedule: schedule.id })),
    ),
    waits: planned.flatMap(({ schedule, plan, open }) =>
      plan.buffered === 0 || schedule.paused ? [] : open.slice(0, 1).map((runId) => ({ runId, schedule: schedule.id })),
    ),
    nextAt: await readNext(query),
    problems,
  }
}

/** Null: it is one of the problems. */
function readable({ id, times }: StoredSchedule, problems: { schedule: string; problem: string }[]): Slots | null {
  try {
    return slotsOf(times)
  } catch (error) {
    problems.push({ schedule: id, problem: (error as Error).message.slice(0, 1_000) })
    return null
  }
}

type WrittenFire = PlannedFire & { readonly schedule: string; readonly runId: string | null }

async function writeFires(query: Run, fires: readonly WrittenFire[]): Promise<void> {
  await query({
    name: 'stet_fires_write',
    text: `INSERT INTO stet_store.schedule_fires AS f (schedule, slot, status, via, at, run_id, overlap, reason, until)
           SELECT u.schedule, to_timestamp(u.slot / 1000), u.status, u.via, c.at, u.run_id, u.overlap, u.reason, to_timestamp(u.until / 1000)
             FROM (SELECT date_trunc('milliseconds', stet_store.clock()) AS at) c,
                  unnest($1::text[], $2::float8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[])
                  AS u(schedule, slot, status, via, run_id, overlap, reason, until)
               ON CONFLICT (schedule, slot) DO UPDATE
              SET status = EXCLUDED.status, at = EXCLUDED.at, run_id = EXCLUDED.run_id, overlap = EXCLUDED.overlap, reason = EXCLUDED.reason,
                  until = EXCLUDED.until
            WHERE f.status <> 'started'`,
    values: [
      textArray(fires.map(({ schedule }) => schedule)),
      floatArray(fires.map(({ slot }) => slot)),
      textArray(fires.map(({ status }) => status)),
      textArray(fires.map(({ via }) => via)),
      textArray(fires.map(({ runId }) => runId)),
      textArray(fires.map(({ overlap }) => overlap)),
      textArray(fires.map(({ reason }) => reason)),
      floatArray(fires.map(({ until }) => until)),
    ],
  })
}

async function writeSchedules(
  query: Run,
  planned: readonly { readonly schedule: StoredSchedule; readonly plan: Plan }[],
  fires: readonly WrittenFire[],
): Promise<void> {
  if (planned.length === 0) return
  const of = (id: string, via?: FireVia) =>
    fires.filter((fire) => fire.schedule === id && fire.status === 'started' && (via === undefined || fire.via === via))
  await query({
    name: 'stet_schedules_write',
    text: `UPDATE stet_store.schedules s
              SET cursor = greatest(s.cursor, to_timestamp(u.cursor / 1000)), next_slot = to_timestamp(u.next_slot / 1000),
                  next_fire = to_timestamp(u.next_fire / 1000), next_at = to_timestamp(u.next_at / 1000), buffered = u.buffered,
                  runs = s.runs + u.started, last = greatest(s.last, to_timestamp(u.last / 1000)), problem = NULL
             FROM unnest($1::text[], $2::float8[], $3::float8[], $4::float8[], $5::float8[], $6::int[], $7::int[], $8::float8[])
                  AS u(id, cursor, next_slot, next_fire, next_at, buffered, started, last)
            WHERE s.id = u.id`,
    values: [
      textArray(planned.map(({ schedule }) => schedule.id)),
      floatArray(planned.map(({ plan }) => plan.cursor)),
      floatArray(planned.map(({ plan }) => plan.nextSlot)),
      floatArray(planned.map(({ plan }) => plan.nextFire)),
      floatArray(planned.map(({ plan }) => plan.nextAt)),
      intArray(planned.map(({ plan }) => plan.buffered)),
      intArray(planned.map(({ schedule }) => of(schedule.id, 'slot').length)),
      floatArray(planned.map(({ schedule }) => of(schedule.id).at(-1)?.slot ?? null)),
    ],
  })
}

/** One look in a hundred goes through what is kept. */
async function prune(query: Run, ids: readonly string[]): Promise<void> {
  const some = ids.filter(() => Math.random() < 0.01)
  if (some.length === 0) return
  await query({
    text: `DELETE FROM stet_store.schedule_fires f
            USING (SELECT u.id, (SELECT x.slot FROM stet_store.schedule_fires x WHERE x.schedule = u.id ORDER BY x.slot DESC OFFSET $2 LIMIT 1) AS slot
                     FROM unnest($1::text[]) AS u(id)) k
            WHERE f.schedule = k.id AND f.slot <= k.slot AND f.status IN ('started', 'skipped', 'missed')`,
    values: [textArray(some), firesKept],
  })
}

async function readNext(query: Run): Promise<number | null> {
  const { rows } = await query(lookQueries.next())
  return rows[0].next
}

function nothing(nextAt: number | null): Look {
  return { looked: 0, queues: [], toEnd: [], waits: [], nextAt, problems: [] }
}
