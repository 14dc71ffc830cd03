/** `stet.schedules` in both stores: fired at their times, once, through each policy. */
import { describe, expect, test } from 'vitest'
import { signal, workflow } from '../../src/index.js'
import { testEnv } from '../../src/testing/index.js'
import { databases } from '../testing/databases.js'

const go = signal('go')
const note = workflow('note', async (ctx, input: string) => `${input} ${ctx.run.scheduledFor?.toISOString()}`)
const hold = workflow('hold', async (ctx) => {
  try {
    await ctx.waitForSignal(go)
  } finally {
    await ctx.shield(async (ctx) => ctx.sleep('1m'))
  }
  return 'held'
})
const all = [note, hold]

describe.each(databases)('$database', (on) => {
  test('a cron schedule starts a run for each slot, which knows its slot', async () => {
    await using env = await testEnv({ workflows: all, ...on })
    const { stet, clock } = env
    await stet.schedules.create('hourly', { workflow: note, input: 'at', cron: '0 * * * *' })
    const next = await stet.schedules.next('hourly', 3)
    await clock.advance('3h')
    for (const slot of next) {
      const run = stet.run(`hourly@${slot.toISOString()}`)
      expect(await run.result()).toBe(`at ${slot.toISOString()}`)
    }
    const { runs } = await stet.list({ workflow: 'note' })
    expect(runs.map(({ id }) => id)).toEqual(next.map((slot) => `hourly@${slot.toISOString()}`).reverse())
    const described = await stet.schedules.describe('hourly')
    expect(described).toMatchObject({ id: 'hourly', workflow: 'note', runs: 3, buffered: 0, paused: false })
    expect(described.fires.map(({ status, slot }) => [status, slot])).toEqual(
      [...next].reverse().map((slot) => ['started', slot]),
    )
  })
})
