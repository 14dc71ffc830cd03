/** A paused run does not go on, whatever comes; what executes comes to its end. */
import { describe, expect, test } from 'vitest'
import { type Ctx, RunClosedError, RunNotFoundError, workflow } from '../../src/index.js'
import { eventually } from '../support/harness.js'
import { gate, house, refusal, types } from '../support/house.js'

const { stet, work, loop, reached, db } = await house({ verify: true })

const twoSteps = (name: string, first: Promise<unknown>, began: () => void, ran: string[]) =>
  workflow(name, async (ctx: Ctx<void>) => {
    await ctx.step('first', async () => {
      ran.push('first')
      began()
      await first
    })
    await ctx.step('second', async () => {
      ran.push('second')
    })
    return ran.length
  })

describe('pause', () => {
  test('of a run whose step executes: the step is recorded, the next one waits for resume, and runs once', async () => {
    const [open, began] = [gate(), gate()]
    const ran: string[] = []
    const flow = twoSteps('pause in a step', open.promise, began.open, ran)
    await work([flow])
    const run = await stet.start(flow)
    await began.promise
    await run.pause('the carrier has an outage')
    expect((await run.describe()).status).toBe('running')
    // Only when its worker knows is the step let go on.
    await eventually('the message was taken in', async () => {
      const { rows } = await db.query('SELECT FROM stet_store.inbox WHERE run_id = $1 AND kind = $2', [
        run.runId,
        'pause',
      ])
      return rows.length === 1
    })
    const parked = reached(run, 'paused')
    open.open()
    expect((await parked).problem).toEqual({ code: 'paused', message: 'the carrier has an outage' })
    expect(ran).toEqual(['first'])
    expect(await run.why()).toMatchObject({
      code: 'paused',
      message: expect.stringContaining('the carrier has an outage'),
    })
    await run.resume()
    expect(await run.result({ timeout: '20s' })).toBe(2)
    expect(ran).toEqual(['first', 'second'])
    expect((await types(run)).filter((type) => type === 'StepCompleted')).toHaveLength(2)
  })

  test('of a run that waits: signals and the time of its timer do not wake it; after resume all of them count', async () => {
    const flow = workflow('pause in a wait', async (ctx: Ctx<void>) => {
      const [signal] = await Promise.all([ctx.waitForSignal<string>('go'), ctx.sleep(50)])
      return signal
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.pause()
    await run.pause('again: it stays as it is')
    const before = await reached(run, 'paused')
    await run.signal('go', 'on')
    // Another run begins and ends after the timer is due: the worker had its occasion.
    const other = workflow('other', async (ctx: Ctx<void>) => ctx.sleep(100))
    await work([other])
    await (await stet.start(other)).result({ timeout: '20s' })
    expect(await reached(run, 'paused')).toMatchObject({ claim: before.claim })
    await run.resume()
    expect(await run.result({ timeout: '20s' })).toBe('on')
  })

  test('before it began, and before the time of its start: it begins after resume, and not before that time', async () => {
    const flow = workflow('pause before', async (ctx: Ctx<void>) => ctx.run.startedAt.getTime())
    const run = await stet.start(flow)
    const later = await stet.start(flow, undefined, { delay: '1h' })
    await run.pause()
    await later.pause()
    await work([flow])
    await work([flow])
    const marker = await stet.start(flow)
    await marker.result({ timeout: '20s' })
    expect((await reached(run, 'paused')).claim).toBe(0)
    await run.resume()
    await later.resume()
    await run.result({ timeout: '20s' })
    const row = await reached(later, 'waiting')
    expect(row.due!.getTime()).toBeGreaterThan(Date.now() + 3_000_000)
    await later.cancel()
  })

  test('outlives the worker that was told', async () => {
    const [open, began] = [gate(), gate()]
    const ran: string[] = []
    const flow = twoSteps('pause and crash', open.promise, began.open, ran)
    const first = await loop([flow], { leaseMs: 1_500, beatMs: 300 })
    const run = await stet.start(flow)
    await began.promise
    await run.pause()
    first.crash()
    await work([flow])
    await reached(run, 'paused')
    open.open()
    await run.resume()
    // The step was not recorded: it begins again.
    expect(await run.result({ timeout: '20s' })).toBe(3)
    expect(ran).toEqual(['first', 'first', 'second'])
  })

  test('goes on to the run that goes on for it', async () => {
    const [open, began] = [gate(), gate()]
    const flow = workflow('pause and continue', async (ctx: Ctx<number>, round: number): Promise<number> => {
      if (round > 0) return ctx.step('in the next', () => round)
      await ctx.step('hold', async () => {
        began.open()
        await open.promise
      })
      return ctx.continueAsNew(round + 1)
    })
    await work([flow])
    const run = await stet.start(flow, 0, { id: 'goes-on' })
    await began.promise
    await run.pause()
    open.open()
    await reached(run, 'continued')
    const next = stet.run('goes-on')
    const { runId } = await next.describe()
    await reached({ runId }, 'paused')
    await next.resume()
    expect(await run.result({ timeout: '20s' })).toBe(1)
  })

  test('terminate ends a paused run at once; cancel takes effect after resume', async () => {
    const flow = workflow('pause and end', async (ctx: Ctx<void>) => ctx.sleep('3d'))
    await work([flow])
    const [one, other] = [await stet.start(flow), await stet.start(flow)]
    for (const run of [one, other]) {
      await reached(run, 'waiting')
      await run.pause()
    }
    await one.terminate()
    expect((await one.describe()).status).toBe('terminated')
    await other.cancel()
    expect((await other.describe()).status).toBe('paused')
    await other.resume()
    await reached(other, 'cancelled')
  })

  test('of a run that is closed, blocked or not there is refused', async () => {
    const flow = workflow('pause refused', async (ctx: Ctx<void>) => ctx.step('x', () => 1))
    await work([flow])
    const run = await stet.start(flow)
    await run.result({ timeout: '20s' })
    expect(await refusal(run.pause())).toBeInstanceOf(RunClosedError)
    expect(await refusal(stet.run('nobody').pause())).toBeInstanceOf(RunNotFoundError)
    const waits = workflow('pause blocked', async (ctx: Ctx<void>) => ctx.sleep('3d'))
    await work([waits])
    const blocked = await stet.start(waits)
    await reached(blocked, 'waiting')
    await db.query(`UPDATE stet_store.runs SET status = 'blocked' WHERE run_id = $1`, [blocked.runId])
    expect(await refusal(blocked.pause())).toMatchObject({ code: 'blocked' })
  })
})
