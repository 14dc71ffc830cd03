/** Schedules in SQL: made, paused, fired and deleted in transactions of any language; and what workers ask costs the same with 10,000. */
import { randomBytes } from 'node:crypto'
import { expect, inject, test } from 'vitest'
import { Stet, workflow } from '../../src/index.js'
import { lookQueries } from '../../src/store/postgres/schedules.js'
import { beatQuery } from '../../src/store/postgres/workers.js'
import { testEnv } from '../../src/testing/index.js'

import { onServer, testDatabase } from '../support/server.js'

const echo = workflow('echo', async (ctx, input: unknown) => [input, ctx.run.scheduledFor?.toISOString()])

test('a schedule made by SQL fires; what is rolled back never happened', async () => {
  await using env = await testEnv({ workflows: [echo], url: inject('serverUrl') })
  const { db } = (await env.stet.internals()).store
  const sql = (text: string) => db.query({ text })
  await sql(
    `SELECT stet.create_schedule('hourly', 'echo', '{"cron": "0 * * * *", "timeZone": "Asia/Kolkata"}', '{"of": 1}', note => 'by SQL')`,
  )
  await expect(
    db.transaction(async (query) => {
      await query({ text: `SELECT stet.create_schedule('never', 'echo', '{"every": "1h"}')` })
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  await env.clock.advance('1h')
  const { rows } = await sql(`SELECT f.id, f.status, r.output, s.note, s.next > f.slot AS goes_on FROM stet.schedules s
                                JOIN stet.schedule_fires f ON f.schedule = s.id JOIN stet.runs r USING (run_id)`)
  const [{ id, output }] = rows
  expect(rows).toEqual([{ id, output, status: 'started', note: 'by SQL', goes_on: true }])
  expect(output).toEqual([{ of: 1 }, id.slice('hourly@'.length)])
  expect(id).toMatch(/:30:00\.000Z$/)

  await sql(`SELECT stet.pause_schedule('hourly', 'not now')`)
  await env.clock.advance('3h')
  const triggered = (await sql(`SELECT stet.trigger_schedule('hourly') AS id`)).rows[0].id
  await env.clock.advance('1s')
  expect((await env.stet.run(triggered).describe()).status).toBe('completed')
  await sql(`SELECT stet.resume_schedule('hourly')`)
  await env.clock.advance('1h')
  expect((await env.stet.schedules.describe('hourly')).fires.map(({ via, status }) => [via, status])).toEqual([
    ['slot', 'started'],
    ['trigger', 'started'],
    ['slot', 'started'],
  ])
  // One that cannot be read is told, and stops nothing.
  await sql(`SELECT stet.create_schedule('bad', 'echo', '{"cron": "often"}')`)
  await env.clock.advance('1s')
  expect((await sql(`SELECT problem FROM stet.schedules WHERE id = 'bad'`)).rows[0].problem).toContain('five fields')
  for (const [text, code] of [
    [`SELECT stet.create_schedule('hourly', 'echo', '{"every": "1h"}')`, '23505'],
    [`SELECT stet.create_schedule('', 'echo', '{"every": "1h"}')`, '22023'],
    [`SELECT stet.create_schedule(E'a\\nb', 'echo', '{"every": "1h"}')`, '22023'],
    [`SELECT stet.create_schedule('x', 'echo', '[]')`, '22023'],
    [`SELECT stet.create_schedule('x', 'echo', '{"every": "1h"}', overlap => 'never')`, '23514'],
    [`SELECT stet.trigger_schedule('nobody')`, 'P0002'],
    [`SELECT stet.pause_schedule('nobody')`, 'P0002'],
    [`SELECT stet.delete_schedule('nobody')`, 'P0002'],
  ] as const) {
    await expect(sql(text)).rejects.toMatchObject({ code })
  }
  await sql(`SELECT stet.delete_schedule('hourly')`)
  expect((await sql(`SELECT count(*)::int AS n FROM stet.schedule_fires WHERE schedule = 'hourly'`)).rows[0].n).toBe(0)
})

test('with 10,000 schedules and 50,000 runs of theirs a look reads a few pages of indexes', async () => {
  const database = await testDatabase()
  await using stet = new Stet({ url: database.url })
  const { db } = (await stet.internals()).store
  await db.query({
    text: `INSERT INTO stet_store.schedules (id, workflow, times, source, cursor, next_slot, next_fire, next_at, created_at, updated_at)
           SELECT 's' || n, 'echo', '{"every":"1h"}', 'call', now(), now() + n * interval '1 s', now() + n * interval '1 s',
                  now() + (n - 40) * interval '1 s', now(), now() FROM generate_series(1, 10000) n`,
  })
  await db.query({
    text: `INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, closed_at)
           SELECT 'run_' || n || '_' || k, 's' || n || '@' || stet_store.iso(now() - k * interval '1 hour'), 'echo', 1, 'default',
                  CASE k WHEN 0 THEN 'waiting' ELSE 'completed' END, now(), CASE k WHEN 0 THEN NULL ELSE now() END
             FROM generate_series(1, 10000) n, generate_series(0, 4) k`,
  })
  await db.query({
    text: `INSERT INTO stet_store.schedule_fires (schedule, slot, status, via, at)
           SELECT 's' || n, now() - k * interval '1 hour', CASE k WHEN 0 THEN 'buffered' ELSE 'started' END, 'slot', now()
             FROM generate_series(1, 10000) n, generate_series(0, 4) k`,
  })
  await onServer(database.url, 'VACUUM ANALYZE stet_store.schedules, stet_store.runs, stet_store.schedule_fires')
  const ids = Array.from({ length: 50 }, (_, i) => `s${i + 1}`)
  const beat = beatQuery(`worker_${randomBytes(4).toString('hex')}`, 10_000, {
    queues: ['default'],
    workflows: [{ name: 'echo', version: 1 }],
  })
  for (const [what, { text, values = [] }, pages] of [
    ['the next of all', lookQueries.next(), 4],
    ['what is due', lookQueries.due(), 200],
    ['what was asked for', lookQueries.openFires(ids, 20), 500],
    ['what is open', lookQueries.openRuns(ids), 400],
    ['a beat', beat, 40],
  ] as const) {
    // Without names: each is planned here and now.
    const { rows } = await db.query({ text: `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values })
    const { Plan: plan } = rows[0]['QUERY PLAN'][0]
    const read = plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
    expect([what, read <= pages ? null : read]).toEqual([what, null])
    const nodes = (node: any): any[] => [node, ...(node.Plans ?? []).flatMap(nodes)]
    const scans = nodes(plan).filter(
      (node) => node['Node Type'] === 'Seq Scan' && /^schedule/.test(node['Relation Name']),
    )
    expect([what, scans]).toEqual([what, []])
    const wasted = nodes(plan).reduce((sum, node) => sum + (node['Rows Removed by Filter'] ?? 0), 0)
    expect([what, wasted < 100 ? null : wasted]).toEqual([what, null])
  }
})
