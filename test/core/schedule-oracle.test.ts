/**
 * A year of 20 cron expressions in 7 zones is, slot for slot, what Postgres says of the same year (`slots-oracle.ts`).
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Slots } from '../../src/core/schedule/slots.js'
import { checkTimes } from '../../src/core/schedule/times.js'
import { fillMinutes, oracleSlots, specs, year, zones } from '../support/slots-oracle.js'

const client = new pg.Client({ connectionString: inject('serverUrl') })
beforeAll(async () => {
  await client.connect()
  // The minutes of a year are in memory, all of them: they are read once for each expression.
  await client.query("SET temp_buffers = '128MB'")
})
afterAll(() => client.end())

const [from, to] = [Date.parse(year.from), Date.parse(year.to)]
const slotsOf = (cron: string, timeZone: string) => [
  ...new Slots(checkTimes({ cron, timeZone }, 'schedule')).between(from - 1, to - 1),
]

describe.each(zones)('%s', (zone) => {
  test(`${specs.length} expressions`, async () => {
    await fillMinutes((text) => client.query(text), zone)
    let total = 0
    for (const spec of specs) {
      const { rows } = await client.query(
        `SELECT coalesce(array_agg((extract(epoch FROM at) * 1000)::float8 ORDER BY at), '{}') AS slots FROM (${oracleSlots(spec)}) o`,
      )
      const expected: number[] = rows[0].slots
      const found = slotsOf(spec.cron, zone)
      // The first that differs says more than a list of 100,000.
      const odd = found.findIndex((slot, i) => slot !== expected[i])
      expect([spec.cron, odd === -1 ? null : [new Date(found[odd]!), expected[odd]], found.length]).toEqual([
        spec.cron,
        null,
        expected.length,
      ])
      total += found.length
    }
    expect(total).toBeGreaterThan(120_000)
  }, 120_000)
})

test('the oracle tells: one that skips what clocks skip, or doubles what they double, is another', async () => {
  await fillMinutes((text) => client.query(text), 'Europe/Berlin')
  const count = async (spec: (typeof specs)[number]) => {
    const { rows } = await client.query(`SELECT count(*)::int AS n FROM (${oracleSlots(spec)}) o`)
    return rows[0].n
  }
  const half = specs.find(({ cron }) => cron === '30 2 * * *')!
  expect(await count(half)).toBe(365)
  expect(await count({ ...half, fixed: false })).toBe(365)
  expect(await count({ ...half, when: 'm = 30 AND h = 2 AND mon = 3', fixed: false })).toBe(30)
  expect(await count({ ...half, when: 'm = 30 AND h = 2 AND mon = 10', fixed: false })).toBe(32)
})
