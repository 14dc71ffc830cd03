/** What every store does about limits: the promises of `src/store/limits.ts`. Each test has a store of its own. */
import { describe, expect, test } from 'vitest'
import { type LimitBounds, type LimitTarget, maxCountedBehind, maxFullGates } from '../../src/store/limits.js'
import { type Hand, lanes, type OpenStore, Scene } from './scene.js'

const all: LimitTarget = { scope: 'workflow', name: 'order', key: null }
const byCustomer: LimitTarget = { ...all, key: 'customer.id' }
const atOnce = (concurrency: number): LimitBounds => ({ concurrency, rate: null })
const rate = (limit: number, periodMs: number): LimitBounds => ({ concurrency: null, rate: { limit, periodMs } })
const of = (customer: unknown) => JSON.stringify({ customer: { id: customer } })

/** Runs the suite against a store. `open` makes an empty one. */
export function describeLimits(name: string, open: () => Promise<OpenStore>): void {
  const scene = () => Scene.open(open)

  /** Starts runs one after the other, a millisecond apart, so that their order is known. */
  async function starts(s: Scene, prefix: string, count: number, over: Parameters<Scene['start']>[0] | object = {}) {
    for (let i = 0; i < count; i++) {
      await s.start({ runId: `${prefix}_${i}`, ...over })
      await s.pass(1)
    }
  }

  describe(`${name}: limits`, () => {
    test('of a workflow: so many are in hand at once, and each that is let go of makes room for one', async () => {
      await using s = await scene()
      const [one, two] = [await s.worker(), await s.worker()]
      expect((await one.beat()).limited).toBe(false)
      await s.store.setLimit(all, { bounds: atOnce(3) })
      expect((await one.beat()).limited).toBe(true)
      await starts(s, 'run', 10)
      expect(await one.claim()).toEqual([])
      const first = await one.claimInLine(2)
      expect(first.map(({ runId }) => runId)).toEqual(['run_0', 'run_1'])
      expect(first[0]!.started).toMatchObject({ seq: 1, type: 'RunStarted', payload: '"input"' })
      const second = await two.claimInLine()
      expect(second.map(({ runId }) => runId)).toEqual(['run_2'])
      expect(await one.inLine()).toEqual([])
      await one.close(first[0]!, 'completed')
      expect(await two.inLine()).toEqual(['run_3'])
      // Parked: it counts for nothing while it waits, and stands in line again when it is ready.
      await one.park(first[1]!, { due: await s.store.now() })
      expect(await two.inLine()).toEqual(['run_4'])
      await s.pass(1)
      expect(await s.store.wake()).toBe(1)
      await two.close(second[0]!, 'failed')
      const third = await one.claimInLine()
      expect(third).toHaveLength(1)
      const [row] = await s.store.limitStates()
      expect(row).toMatchObject({ ...all, concurrency: 3, running: 3, queued: 5, full: 0, overridden: true })
    })

    test('a slot is free in the moment its run is: of a dead worker, given back, paused, cancelled, quarantined', async () => {
      await using s = await scene()
      const [one, two] = [await s.worker(), await s.worker()]
      await s.store.setLimit(all, { bounds: atOnce(1) })
      const hold = async (runId: string) => {
        await s.start({ runId })
        const [run] = await one.claimInLine()
        expect(run?.runId).toBe(runId)
        expect(await two.inLine()).toEqual([])
        return run!
      }
      await one.change(await hold('run_paused'), { status: 'paused' })
      await one.change(await hold('run_blocked'), { status: 'blocked', problem: '{}' })
      await one.close(await hold('run_cancelled'), 'cancelled')
      await hold('run_stray')
      await s.store.giveBackStrays(one.id, [])
      const [stray] = await one.claimInLine()
      await one.close(stray!, 'completed')
      await hold('run_orphan')
      await one.vanish()
      expect((await s.store.takeOver([one.id])).runs).toBe(1)
      const [orphan] = await two.claimInLine()
      expect(orphan).toMatchObject({ runId: 'run_orphan', claim: 2 })
      // What is paused while it stands in line leaves it, and comes back.
      await s.start({ runId: 'run_later' })
      expect(await two.inLine()).toEqual([])
      expect(await s.store.pause('run_later', '{}')).toBe(true)
      await two.close(orphan!, 'completed')
      expect(await two.inLine()).toEqual([])
      expect(await s.store.resume('run_later')).toBe(true)
      expect(await two.inLine()).toEqual(['run_later'])
    })

    test('of a key: each value has its own, and none waits for the backlog of another', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(byCustomer, { bounds: atOnce(2) })
      await starts(s, 'ada', 5, { payload: of('ada') })
      await starts(s, 'bob', 1, { payload: of('bob') })
      await starts(s, 'none', 3, { payload: '"no customer"' })
      const claimed = await one.claimInLine(10)
      expect(claimed.map(({ runId }) => runId).sort()).toEqual(['ada_0', 'ada_1', 'bob_0', 'none_0', 'none_1'])
      expect(await one.inLine()).toEqual([])
      await one.close(claimed.find(({ runId }) => runId === 'ada_1')!, 'completed')
      expect(await one.inLine()).toEqual(['ada_2'])
      const [state] = await s.store.limitStates()
      expect(state).toMatchObject({ key: 'customer.id', running: 5, queued: 3 })
      expect(state!.full).toBe(2)
      expect(state!.gates.map(({ value, running }) => [value, running])).toEqual([
        ['', 2],
        ['ada', 2],
        ['bob', 1],
      ])
      expect((await s.store.diagnose('ada_3'))!.gates).toMatchObject([
        { value: 'ada', running: 2, concurrency: 2, closed: true },
      ])
      expect((await s.store.diagnose('ada_0'))!.gates).toEqual([])
    })

    test('values that are full are told of, with who waits for them; no more than so many, and counted so far', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(byCustomer, { bounds: { concurrency: 1, rate: { limit: 5, periodMs: 60_000 } } })
      await starts(s, 'bob', 2, { payload: of('bob') })
      await s.pass(5_000)
      await starts(s, 'ada', 4, { payload: of('ada') })
      await starts(s, 'eve', 1, { payload: of('eve') })
      const fullGates = async () => (await s.store.limitStates())[0]!.fullGates
      // Nobody has looked yet.
      expect((await s.store.limitStates())[0]).toMatchObject({ running: 0, queued: 7 })
      expect(await one.inLine()).toHaveLength(3)
      expect(await one.inLine()).toEqual([])
      const [bob, ada, ...others] = await fullGates()
      expect([bob, ada]).toMatchObject([
        { value: 'bob', running: 1, begun: 1, queued: 1 },
        { value: 'ada', running: 1, begun: 1, queued: 3 },
      ])
      // Eve is full, and nobody waits for that.
      expect(others).toEqual([])
      expect(bob!.oldestMs).toBeGreaterThanOrEqual(5_000)
      expect(ada!.oldestMs).toBeLessThan(bob!.oldestMs)
      for (let i = 0; i < maxFullGates + 3; i++) await starts(s, `many_${i}`, 2, { payload: of(`c-${i}`) })
      await starts(s, 'crowd', maxCountedBehind + 5, { payload: of('bob') })
      expect(await one.inLine(100)).toHaveLength(maxFullGates + 3)
      expect(await one.inLine(100)).toEqual([])
      const [state] = await s.store.limitStates()
      expect([state!.full, state!.fullGates.length]).toEqual([maxFullGates + 5, maxFullGates])
      expect(state!.fullGates[0]).toMatchObject({ value: 'bob', queued: maxCountedBehind + 1 })
      // A limit without a key has no values.
      await s.store.setLimit(all, { bounds: atOnce(1) })
      expect((await s.store.limitStates())[0]).toMatchObject({ key: null, full: 0, fullGates: [] })
    })

    test('values of a key are told apart as text: numbers, what is long, what is odd', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(byCustomer, { bounds: atOnce(1) })
      const values: unknown[] = [
        7,
        8,
        '',
        null,
        true,
        'x'.repeat(400),
        `${'x'.repeat(400)}y`,
        'a"]',
        'a',
        '%',
        { a: 1 },
      ]
      for (const [i, value] of values.entries()) {
        await s.start({ runId: `first_${i}`, payload: of(value) })
        await s.start({ runId: `second_${i}`, payload: of(value) })
      }
      await s.start({ runId: 'coded', payload: '~eAAAA' })
      await s.start({ runId: 'structured', payload: `~1${JSON.stringify({ json: { customer: { id: 7 } } })}` })
      await s.start({ runId: 'empty', payload: null })
      // '', null, what nobody can read and what is not there are one value.
      expect(await one.inLine(100)).toHaveLength(values.length - 1)
    })

    test('turn about between the values of a key; the oldest first within one', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(byCustomer, { bounds: { concurrency: null, rate: null } })
      await starts(s, 'ada', 6, { payload: of('ada') })
      expect(await one.inLine(2)).toEqual(['ada_0', 'ada_1'])
      await starts(s, 'bob', 2, { payload: of('bob') })
      await starts(s, 'eve', 1, { payload: of('eve') })
      expect((await one.inLine(3)).sort()).toEqual(['ada_2', 'bob_0', 'eve_0'])
      expect((await one.inLine(2)).sort()).toEqual(['ada_3', 'bob_1'])
      expect(await one.inLine()).toEqual(['ada_4', 'ada_5'])
    })

    test('of a queue, beside one of a workflow: both hold', async () => {
      await using s = await scene()
      const both = { queues: ['default', 'mail'], workflows: [...lanes.workflows, { name: 'other', version: 1 }] }
      const one = await s.worker({ of: both })
      await s.store.setLimit({ scope: 'queue', name: 'mail', key: null }, { bounds: atOnce(3) })
      await s.store.setLimit(all, { bounds: atOnce(2) })
      await starts(s, 'order', 4, { queue: 'mail' })
      await starts(s, 'other', 4, { queue: 'mail', workflow: 'other' })
      await starts(s, 'elsewhere', 2)
      const held = await one.claimInLine()
      const within = () => {
        expect(held.filter(({ queue }) => queue === 'mail').length).toBeLessThanOrEqual(3)
        expect(held.filter(({ workflow }) => workflow === 'order').length).toBeLessThanOrEqual(2)
      }
      within()
      // All that there is room for: of mail, or of orders, no further one could be taken.
      expect(held.length).toBeGreaterThanOrEqual(4)
      await s.start({ runId: 'free', workflow: 'other' })
      expect((await one.claim()).map(({ runId }) => runId)).toEqual(['free'])
      let closed = 0
      for (; held.length > 0; closed++) {
        await one.close(held.shift()!, 'completed')
        held.push(...(await one.claimInLine()))
        within()
      }
      expect(closed).toBe(10)
    })

    test('a rate counts runs that begin, in any period', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(all, { bounds: rate(3, 10_000) })
      await starts(s, 'run', 9)
      const begun = await s.store.now()
      const first = await one.claimInLine(2)
      await s.pass(4_000)
      expect(await one.inLine()).toEqual(['run_2'])
      expect(await one.inLine()).toEqual([])
      // What began goes on whatever the rate is.
      await one.park(first[0]!, { due: await s.store.now() })
      await s.pass(1)
      await s.store.wake()
      expect(await one.inLine()).toEqual(['run_0'])
      const { nextAt } = one
      expect(nextAt).toBeGreaterThanOrEqual(begun + 10_000)
      expect(nextAt).toBeLessThan(begun + 10_200)
      await s.pass(begun + 9_999 - (await s.store.now()))
      expect(await one.inLine()).toEqual([])
      await s.pass(nextAt! - (await s.store.now()))
      expect(await one.inLine()).toEqual(['run_3', 'run_4'])
      await s.pass(4_100)
      expect(await one.inLine()).toEqual(['run_5'])
      expect((await s.store.limitStates())[0]).toMatchObject({ queued: 3, gates: [{ begun: 3 }] })
    })

    test('a rate of a key: a line that is closed for it opens by the time, and is asked for then', async () => {
      await using s = await scene()
      const one = await s.worker()
      await s.store.setLimit(byCustomer, { bounds: rate(1, 1_000) })
      await starts(s, 'ada', 2, { payload: of('ada') })
      await starts(s, 'bob', 2, { payload: of('bob') })
      expect((await one.inLine()).sort()).toEqual(['ada_0', 'bob_0'])
      expect(await one.inLine()).toEqual([])
      const { nextAt } = one
      expect(nextAt).toBeGreaterThan(await s.store.now())
      await s.pass(nextAt! - (await s.store.now()) + 5)
      expect((await one.inLine()).sort()).toEqual(['ada_1', 'bob_1'])
    })

    test('changed while runs are in hand and in line: they count, and obey', async () => {
      await using s = await scene()
      const one = await s.worker()
      await starts(s, 'run', 8, { payload: of('ada') })
      const held = await one.claim(3)
      expect(held).toHaveLength(3)
      await s.store.setLimit(all, { bounds: atOnce(4) })
      expect(await one.claim()).toEqual([])
      expect(await one.inLine()).toEqual(['run_3'])
      await s.store.setLimit(all, { bounds: atOnce(5) })
      expect(await one.inLine()).toEqual(['run_4'])
      await s.store.setLimit(all, { bounds: atOnce(2) })
      await one.close(held[0]!, 'completed')
      expect(await one.inLine()).toEqual([])
      // One by a key beside it: those in hand count for it too.
      await s.store.setLimit(all, { bounds: atOnce(100) })
      await s.store.setLimit(byCustomer, { bounds: atOnce(4) })
      expect(await one.inLine()).toEqual([])
      await one.close(held[1]!, 'completed')
      expect(await one.inLine()).toEqual(['run_5'])
      expect(await s.store.resetLimit(byCustomer)).toBe(true)
      expect(await one.inLine()).toEqual(['run_6', 'run_7'])
      expect(await s.store.resetLimit(all)).toBe(true)
      expect(await s.store.resetLimit(all)).toBe(false)
      expect((await one.beat()).limited).toBe(false)
      await s.start({ runId: 'run_9' })
      expect((await one.claim()).map(({ runId }) => runId)).toEqual(['run_9'])
    })

    test('a queue that is paused gives out nothing, with or without bounds', async () => {
      await using s = await scene()
      const one = await s.worker()
      const queue: LimitTarget = { scope: 'queue', name: 'default', key: null }
      await s.store.setLimit(queue, { paused: true })
      await starts(s, 'run', 3)
      expect([await one.claim(), await one.inLine()]).toEqual([[], []])
      await s.store.setLimit(queue, { paused: false })
      expect(await one.inLine(1)).toEqual(['run_0'])
      await s.store.setLimit(queue, { bounds: atOnce(2) })
      await s.store.setLimit(queue, { paused: true })
      expect(await one.inLine()).toEqual([])
      await s.store.setLimit(queue, { paused: false })
      expect(await one.inLine()).toEqual(['run_1'])
      expect(await s.store.limits()).toEqual([
        { ...queue, ...atOnce(2), paused: false, declared: null, overridden: true },
      ])
    })

    test('what the code says, what is said at run time in its place, and what the code says no more', async () => {
      await using s = await scene()
      const one = await s.worker()
      expect(await s.store.declareLimits(['order'], [{ ...all, ...atOnce(1) }])).toBe(true)
      expect(await s.store.declareLimits(['order'], [{ ...all, ...atOnce(1) }])).toBe(false)
      await starts(s, 'run', 6)
      expect(await one.inLine()).toEqual(['run_0'])
      await s.store.setLimit(all, { bounds: atOnce(2) })
      expect(await s.store.declareLimits(['order'], [{ ...all, ...atOnce(5) }])).toBe(true)
      expect(await one.inLine()).toEqual(['run_1'])
      expect(await s.store.limits()).toMatchObject([{ concurrency: 2, declared: { concurrency: 5 }, overridden: true }])
      expect(await s.store.resetLimit(all)).toBe(true)
      expect(await one.inLine(1)).toEqual(['run_2'])
      // Of another workflow nothing was said.
      await s.store.declareLimits(['other'], [])
      expect(await s.store.limits()).toHaveLength(1)
      await s.store.declareLimits(['order'], [])
      expect(await s.store.limits()).toEqual([])
      expect((await one.claim()).map(({ runId }) => runId)).toEqual(['run_3', 'run_4', 'run_5'])
    })

    test('higher priorities first; by age, what has waited a minute for each of its priority less', async () => {
      await using s = await scene()
      const one = await s.worker()
      const both = async (claim: (aged: boolean) => Promise<string[]>, prefix: string) => {
        await s.start({ runId: `${prefix}_old` })
        await s.pass(150_000)
        await s.start({ runId: `${prefix}_2`, priority: 2 })
        await s.start({ runId: `${prefix}_3`, priority: 3 })
        expect(await claim(true)).toEqual([`${prefix}_3`])
        expect(await claim(true)).toEqual([`${prefix}_old`])
        await s.start({ runId: `${prefix}_0` })
        expect(await claim(false)).toEqual([`${prefix}_2`])
        expect(await claim(false)).toEqual([`${prefix}_0`])
      }
      await both(async (aged) => {
        const claimed = await s.store.claim(one.id, lanes, 1, { suspects: false, aged })
        return claimed.map(({ runId }) => runId)
      }, 'free')
      await s.store.setLimit(all, { bounds: atOnce(100) })
      await both((aged) => one.inLine(1, { aged }), 'line')
    })

    test('runs that crash their workers are claimed one at a time behind limits too', async () => {
      await using s = await scene()
      await s.store.setLimit(all, { bounds: atOnce(2) })
      await s.start({ runId: 'bad' })
      for (let i = 0; i < 2; i++) {
        const doomed: Hand = await s.worker()
        expect(await doomed.inLine()).toEqual(['bad'])
        await doomed.vanish()
        await s.store.takeOver([doomed.id])
      }
      await s.pass(60_000)
      const one = await s.worker()
      await starts(s, 'good', 2)
      expect(await one.inLine(1)).toEqual(['good_0'])
      expect(await one.inLine(1, { suspects: true })).toEqual(['bad'])
      expect(await one.inLine()).toEqual([])
    })

    test('versions that nobody has decided, and a worker without the code', async () => {
      await using s = await scene()
      await s.store.setLimit(all, { bounds: atOnce(2) })
      const one = await s.worker({
        of: {
          queues: ['default'],
          workflows: [
            { name: 'order', version: 1 },
            { name: 'order', version: 3 },
          ],
        },
      })
      await s.start({ runId: 'open', version: 0 })
      await s.start({ runId: 'new', version: 4 })
      const claimed = await one.claimInLine()
      expect(claimed.map(({ runId, version }) => [runId, version])).toEqual([['open', 3]])
      const stranger = await s.store.claimInLine('stranger', lanes, 10, { suspects: false, aged: false })
      expect(stranger).toEqual({ runs: [], nextAt: null })
    })
  })
}
