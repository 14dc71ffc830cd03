/**
 * What every store does: the promises of `src/store/port.ts`, and what core, worker and client rely on beside them. Each
 * test has a store of its own.
 */
import { describe, expect, test } from 'vitest'
import { type ForkRequest, suspectAfter } from '../../src/store/port.js'
import {
  changeFor,
  child,
  Ear,
  eventsFor,
  type Hand,
  lanes,
  type OpenStore,
  request,
  Scene,
  signal,
  step,
} from './scene.js'

const nobody = { queues: ['elsewhere'], workflows: [{ name: 'order', version: 1 }] }
const unread = (kind: 'signal' | 'update', name: string, messageId: string | null = null) => ({
  ...{ kind, name, payload: null, messageId },
})

/** Runs the suite against a store. `open` makes an empty one. */
export function describeStore(name: string, open: () => Promise<OpenStore>): void {
  const scene = () => Scene.open(open)

  describe(`${name}: starting`, () => {
    test('a run is there with its start as the first event; the same request again does nothing', async () => {
      await using s = await scene()
      const now = await s.store.now()
      const wanted = request({
        runId: 'run_a',
        priority: 3,
        timeoutMs: 60_000,
        facts: { seed: 'x' },
        attributes: { customer: 'ada', tags: ['a', 'b'] },
      })
      expect(await s.store.start([wanted])).toEqual([null])
      expect(await s.store.start([wanted])).toEqual([null])
      expect(await s.store.history('run_a')).toEqual([
        { seq: 1, type: 'RunStarted', op: 0, name: null, payload: '"input"', facts: { seed: 'x' }, at: now },
      ])
      expect(await s.row('run_a')).toEqual({
        ...{ runId: 'run_a', id: 'run_a', workflow: 'order', version: 1, queue: 'default', priority: 3 },
        ...{ status: 'pending', owner: null, claim: 0, due: now, createdAt: now, startedAt: null, closedAt: null },
        ...{ deadline: now + 60_000, waits: null, problem: null, error: null, parent: null, forkedFrom: null },
        historyLength: 1,
        attributes: { customer: 'ada', tags: ['a', 'b'] },
      })
      expect(await s.store.find('run_b')).toBeNull()
      expect(await s.store.history('run_b')).toEqual([])
    })

    test('attributes have the names that they were given', async () => {
      await using s = await scene()
      // In this order: some engines read a name for the one that they read before.
      const all = [
        { '!': ['x'], '\\': 0 },
        { '!': 1, '"': 2 },
        { a: 1, '"\\"': true, é: null },
      ]
      for (const [i, attributes] of all.entries()) await s.start({ runId: `run_${i}`, attributes })
      for (const [i, attributes] of all.entries()) {
        expect((await s.row(`run_${i}`)).attributes).toEqual(attributes)
      }
    })

    test('an id stands for one open run, and the answer says what stands there', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a', id: 'order-1' })
      expect(await s.store.start([request({ runId: 'run_b', id: 'order-1', payload: '"other"' })])).toEqual([
        { runId: 'run_a', workflow: 'order', status: 'pending', open: true, payload: '"input"' },
      ])
      expect(await s.store.find('run_b')).toBeNull()
      expect((await s.row('order-1')).runId).toBe('run_a')
      // A retry of the start itself is no second start.
      expect(await s.store.start([request({ runId: 'run_a', id: 'order-1' })])).toEqual([null])
      expect(await s.types('run_a')).toEqual(['RunStarted'])
    })

    test('of several requests for one id one starts a run, in one call and in many', async () => {
      await using s = await scene()
      const together = await s.store.start(['run_a', 'run_b'].map((runId) => request({ runId, id: 'one' })))
      expect(together).toEqual([null, expect.objectContaining({ runId: 'run_a' })])
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, i) => s.store.start([request({ runId: `run_${i}`, id: 'many' })])),
      )
      const { runId } = await s.row('many')
      expect(answers.flat().filter((answer) => answer === null)).toHaveLength(1)
      for (const answer of answers.flat()) if (answer !== null) expect(answer.runId).toBe(runId)
      expect((await s.store.list({})).rows).toHaveLength(2)
    })

    test.each([
      ['existing', 'failed', false],
      ['fail', 'failed', false],
      ['new', 'completed', true],
      ['newIfFailed', 'completed', false],
      ['newIfFailed', 'failed', true],
      ['newIfFailed', 'terminated', true],
    ] as const)('under the id of a closed run, with ifClosed %s after %s', async (ifClosed, status, starts) => {
      await using s = await scene()
      const worker = await s.worker()
      await worker.close(await s.held(worker, { runId: 'run_a', id: 'order-1' }), status)
      const [answer] = await s.store.start([request({ runId: 'run_b', id: 'order-1', ifClosed })])
      expect(answer).toEqual(starts ? null : expect.objectContaining({ runId: 'run_a', status, open: false }))
      // By the id is meant the latest, also when both began in the same moment.
      expect((await s.row('order-1')).runId).toBe(starts ? 'run_b' : 'run_a')
      expect((await s.row('run_a')).status).toBe(status)
    })

    test.each([
      ['a delay', (now: number) => ({ delayMs: 5_000, startAt: now - 1_000 })],
      ['a time', (now: number) => ({ startAt: now + 5_000 })],
    ])('with %s a run waits until then, and its life begins then', async (_what, when) => {
      await using s = await scene()
      const worker = await s.worker()
      const now = await s.store.now()
      const due = now + 5_000
      await s.start({ runId: 'run_a', timeoutMs: 1_000, ...when(now) })
      expect(await s.row('run_a')).toMatchObject({ status: 'waiting', due, createdAt: now, deadline: due + 1_000 })
      expect((await s.store.history('run_a'))[0]).toMatchObject({ at: due })
      // A message does not make it begin earlier.
      await s.post(signal('run_a', 'go'))
      await s.pass(4_999)
      expect(await s.store.wake()).toBe(0)
      expect(await worker.claim()).toEqual([])
      await s.pass(1)
      expect(await s.store.wake()).toBe(1)
      expect(await worker.claimOne()).toMatchObject({ runId: 'run_a', msgs: 1, deadline: due + 1_000 })
    })

    test('debounced: starts with one key are one run until it begins, after the wait, as the last of them says', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const debounce = { key: 'u-7', waitMs: 1_000, maxWaitMs: 2_500 }
      const add = (runId: string, over: object = {}) =>
        s.store.start([request({ runId, payload: `"${runId}"`, debounce, ...over })])
      const created = await s.store.now()
      expect(await add('run_a')).toEqual([null])
      expect(await s.row('run_a')).toMatchObject({ status: 'waiting', due: created + 1_000, id: 'run_a' })
      await s.pass(900)
      const other = { priority: 3, timeoutMs: 500, attributes: { a: 1 }, facts: { scheduledFor: 1 } }
      expect(await add('run_b', other)).toEqual([expect.objectContaining({ runId: 'run_a', open: true })])
      expect(await s.store.find('run_b')).toBeNull()
      const due = created + 1_900
      expect(await s.row('run_a')).toMatchObject({
        ...{ due, deadline: due + 500, priority: 3, attributes: { a: 1 }, createdAt: created },
      })
      expect(await s.store.history('run_a')).toMatchObject([
        { seq: 1, type: 'RunStarted', payload: '"run_b"', at: due, facts: { scheduledFor: 1 } },
      ])
      // Again the same: the answer to the first try was lost.
      expect(await add('run_a', { payload: '"run_b"' })).toEqual([null])
      // Of another workflow, or with another key, it is another run.
      expect(await add('run_other', { workflow: 'mail' })).toEqual([null])
      expect(await add('run_key', { debounce: { ...debounce, key: 'u-8', maxWaitMs: 10 } })).toEqual([null])
      expect((await s.row('run_key')).due).toBe(created + 910)
      await s.pass(900)
      // Never later than so long after the first.
      await add('run_c')
      expect((await s.row('run_a')).due).toBe(created + 2_500)
      await s.pass(700)
      expect(await s.store.wake()).toBe(3)
      // Ready, and nobody has begun it: the input counts still, and its place stays.
      await add('run_d')
      expect(await s.row('run_a')).toMatchObject({ status: 'pending', due: created + 2_500 })
      const claimed = (await worker.claim()).find(({ runId }) => runId === 'run_a')!
      expect(claimed.started).toMatchObject({ payload: '"run_d"' })
      // It has begun: another run stands for the key.
      expect(await add('run_e')).toEqual([null])
      expect(await add('run_f')).toEqual([expect.objectContaining({ runId: 'run_e' })])
      await worker.close(claimed, 'completed')
      expect(await add('run_g')).toEqual([expect.objectContaining({ runId: 'run_e' })])
    })

    test('debounced: what is paused, asked to cancel, or at its end stands for its key no more', async () => {
      await using s = await scene()
      const add = (runId: string) =>
        s.store.start([request({ runId, debounce: { key: 'u', waitMs: 1_000, maxWaitMs: null } })])
      expect(await add('run_a')).toEqual([null])
      expect(await s.store.pause('run_a', '{}')).toBe(true)
      expect(await add('run_b')).toEqual([null])
      expect(await s.store.resume('run_a')).toBe(true)
      await s.post({ ...signal('run_b', 'x'), kind: 'cancel', name: null })
      expect(await add('run_c')).toEqual([null])
      await s.store.closeUnowned('run_c', 'terminate', null)
      expect(await add('run_d')).toEqual([null])
      expect(await add('run_e')).toEqual([expect.objectContaining({ runId: 'run_d' })])
    })

    test('debounced: of many at one time one starts a run, and the others stand for it', async () => {
      await using s = await scene()
      const debounce = { key: 'u', waitMs: 1_000, maxWaitMs: null }
      const runIds = Array.from({ length: 12 }, (_, i) => `run_${i}`)
      const answers = await Promise.all(runIds.map((runId) => s.store.start([request({ runId, debounce })])))
      const { rows } = await s.store.list({})
      expect(rows).toHaveLength(1)
      const { runId } = rows[0]!
      expect(answers.flat().map((answer) => answer?.runId ?? runId)).toEqual(runIds.map(() => runId))
    })

    test('without a version it is the highest that a live worker has, else that of whoever claims it', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a', version: null })
      expect((await s.row('run_a')).version).toBe(0)
      const of = { queues: ['default'], workflows: [1, 3, 2].map((version) => ({ name: 'order', version })) }
      const worker = await s.worker({ of })
      await s.start({ runId: 'run_b', version: null })
      expect((await s.row('run_b')).version).toBe(3)
      expect((await worker.claim()).map(({ runId, version }) => [runId, version])).toEqual([
        ['run_a', 3],
        ['run_b', 3],
      ])
      await s.store.takeOver([worker.id])
      await s.start({ runId: 'run_c', version: null })
      expect((await s.row('run_c')).version).toBe(0)
    })
  })

  describe(`${name}: messages`, () => {
    test('are numbered in the order of sending, and kept until an event takes them in', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a', id: 'order-1' })
      expect(await s.post(signal('order-1', 'a', { payload: '1' }), signal('run_a', 'b'))).toEqual([
        { runId: 'run_a', closed: null },
        { runId: 'run_a', closed: null },
      ])
      await s.post(signal('run_a', 'c', { kind: 'update', messageId: 'u1' }), {
        ...{ run: 'run_a', kind: 'cancel', name: null, payload: '"enough"', messageId: null },
      })
      expect((await s.store.inbox(['run_a', 'run_x'])).get('run_x')).toBeUndefined()
      const { msgs, messages } = (await s.store.inbox(['run_a'])).get('run_a')!
      expect(msgs).toBe(4)
      expect(messages.map(({ n, kind, name, payload }) => [n, kind, name, payload])).toEqual([
        [1, 'signal', 'a', '1'],
        [2, 'signal', 'b', null],
        [3, 'update', 'c', null],
        [4, 'cancel', null, '"enough"'],
      ])
      expect(messages[2]!.messageId).toBe('u1')
    })

    test('of one id are accepted once by a run, in one call, in many, and after it has closed', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      const once = signal('run_a', 'a', { messageId: 'm1' })
      await Promise.all([s.post(once, once), s.post(once), s.post(once)])
      expect((await s.store.inbox(['run_a'])).get('run_a')).toMatchObject({ msgs: 1, messages: [{ n: 1 }] })
      await worker.append(run, [{ type: 'SignalReceived', op: 1, name: 'a', inboxN: 1 }])
      await s.post(once)
      expect(await s.inbox('run_a')).toEqual([])
      await worker.close(run, 'completed')
      expect(await s.post(once)).toEqual([{ runId: 'run_a', closed: null }])
      // Two that have no id are two.
      await s.start({ runId: 'run_b' })
      await s.post(signal('run_b', 'a'), signal('run_b', 'a'), signal('run_b', 'a', { messageId: 'm1' }))
      expect(await s.inbox('run_b')).toHaveLength(3)
    })

    test('to a run that is not there or has closed are refused, and the others are not', async () => {
      await using s = await scene()
      const worker = await s.worker()
      await worker.close(await s.held(worker, { runId: 'run_a' }), 'failed')
      await s.start({ runId: 'run_b' })
      expect(await s.post(signal('run_x', 'a'), signal('run_a', 'a'), signal('run_b', 'a'))).toEqual([
        { runId: null, closed: null },
        { runId: 'run_a', closed: 'failed' },
        { runId: 'run_b', closed: null },
      ])
      expect([await s.inbox('run_a'), (await s.inbox('run_b')).length]).toEqual([[], 1])
      expect((await s.row('run_a')).status).toBe('failed')
    })

    test('make a run that waits ready at once, while the clock goes on', async () => {
      await using s = await scene()
      const worker = await s.worker()
      await s.start({ runId: 'run_a' })
      await s.time.go()
      for (let n = 0; n < 40; n++) {
        await worker.park(await worker.claimOne(), { seen: n })
        expect(await worker.claim()).toEqual([])
        await s.post(signal('run_a', 'go'))
      }
    })

    test('with a start: both or neither', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const first = request({ runId: 'run_a', id: 'order-1' })
      const message = { kind: 'signal', name: 'a', payload: '1', messageId: 'm1' } as const
      for (let tries = 0; tries < 2; tries++) {
        expect(await s.store.startAndPost(first, message)).toEqual({ runId: 'run_a', existing: null, closed: null })
      }
      expect(await s.inbox('run_a')).toEqual([{ n: 1, kind: 'signal', name: 'a', payload: '1', messageId: 'm1' }])
      const second = request({ runId: 'run_b', id: 'order-1' })
      expect(await s.store.startAndPost(second, { ...message, messageId: 'm2' })).toMatchObject({
        ...{ runId: 'run_a', existing: { runId: 'run_a', open: true }, closed: null },
      })
      expect(await s.inbox('run_a')).toHaveLength(2)
      await worker.close(await worker.claimOne(), 'completed')
      expect(await s.store.startAndPost(second, { ...message, messageId: 'm3' })).toMatchObject({
        ...{ runId: 'run_a', existing: { open: false }, closed: 'completed' },
      })
      expect(await s.store.startAndPost(second, message)).toMatchObject({ runId: 'run_a', closed: null })
      expect(await s.store.find('run_b')).toBeNull()
      const again = { ...second, ifClosed: 'new' as const }
      expect(await s.store.startAndPost(again, message)).toEqual({ runId: 'run_b', existing: null, closed: null })
      expect(await s.inbox('run_b')).toHaveLength(1)
    })
  })

  describe(`${name}: closing a run that nobody owns`, () => {
    test('terminates one that is ready, waits or is blocked, and counts its claim up', async () => {
      await using s = await scene()
      const worker = await s.worker()
      await s.start({ runId: 'run_a' })
      expect(await s.store.closeUnowned('run_a', 'terminate', 'enough')).toEqual({ parent: null })
      expect((await s.store.history('run_a')).at(-1)).toMatchObject({
        ...{ seq: 2, type: 'RunTerminated', op: null, payload: null, facts: { reason: 'enough' } },
      })
      expect(await s.row('run_a')).toMatchObject({ status: 'terminated', claim: 1, due: null, waits: null })
      expect((await s.row('run_a')).closedAt).toBe(await s.store.now())
      const run = await s.held(worker, { runId: 'run_b' })
      expect(await s.store.closeUnowned('run_b', 'terminate', null)).toBeNull()
      await worker.park(run)
      expect(await s.store.closeUnowned('run_b', 'terminate', null)).toEqual({ parent: null })
      expect((await s.store.history('run_b')).at(-1)!.facts).toEqual({})
      expect(await s.store.closeUnowned('run_b', 'terminate', null)).toBeNull()
      expect(await s.store.closeUnowned('run_x', 'terminate', null)).toBeNull()
      // Whoever held it before cannot write to it any more.
      expect((await worker.append(run, [step])).lost).toEqual(new Set(['run_b']))
      expect(await s.types('run_b')).toEqual(['RunStarted', 'RunTerminated'])
    })

    test('cancels one that was never begun, and only that', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_b' })
      await worker.park(run)
      await s.start({ runId: 'run_a', delayMs: 1_000 })
      expect(await s.store.closeUnowned('run_a', 'cancelBeforeBegin', 'no')).toEqual({ parent: null })
      expect((await s.store.history('run_a')).slice(1)).toMatchObject([
        { seq: 2, type: 'CancelRequested', facts: { reason: 'no' } },
        { seq: 3, type: 'RunCancelled', facts: { neverBegan: true, reason: 'no' } },
      ])
      expect((await s.row('run_a')).status).toBe('cancelled')
      expect(await s.store.closeUnowned('run_b', 'cancelBeforeBegin', null)).toBeNull()
      await s.pass(10_000)
      expect(await s.store.wake()).toBe(0)
    })

    test('tells its parent, and has its children told', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const parent = await s.held(worker, { runId: 'run_a' })
      await worker.append(parent, [child({ runId: 'run_a.1' })])
      await worker.park(parent)
      const middle = await worker.claimOne()
      await worker.append(middle, [child({ runId: 'run_a.1.1' })])
      await worker.park(middle)
      expect(await s.store.closeUnowned('run_a.1', 'terminate', null)).toEqual({ parent: 'run_a' })
      expect(await s.inbox('run_a')).toEqual([
        { n: 1, kind: 'child', name: '1:terminated', payload: null, messageId: null },
      ])
      expect((await s.row('run_a')).status).toBe('pending')
      expect(await s.store.tellChildren()).toEqual({ left: 1, closed: ['run_a.1.1'], posted: [] })
      expect(await s.store.tellChildren()).toEqual({ left: 0, closed: [], posted: [] })
    })
  })

  describe(`${name}: claiming`, () => {
    test('gives runs out by priority, then by age, so many as are wanted', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const priorities = { run_a: 0, run_b: 5, run_c: 0, run_d: 5, run_e: -1 }
      // The first to be started, and the last to be due among its equals.
      await s.start({ runId: 'run_late', delayMs: 4 })
      for (const [runId, priority] of Object.entries(priorities)) {
        await s.start({ runId, priority })
        await s.pass(1)
      }
      await s.store.wake()
      expect((await worker.claim(4)).map(({ runId }) => runId)).toEqual(['run_b', 'run_d', 'run_a', 'run_c'])
      expect((await worker.claim(4)).map(({ runId }) => runId)).toEqual(['run_late', 'run_e'])
      expect(await worker.claim(4)).toEqual([])
    })

    test('gives what a worker needs, and the whole history of a run that was never begun', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const now = await s.store.now()
      await s.start({ runId: 'run_a', id: 'order-1', timeoutMs: 1_000 })
      await s.post(signal('run_a', 'a'))
      const claimed = await worker.claimOne()
      expect(claimed).toEqual({
        ...{ runId: 'run_a', id: 'order-1', workflow: 'order', version: 1, queue: 'default', claim: 1, msgs: 1 },
        ...{ crashes: 0, deadline: now + 1_000, hasParent: false, started: (await s.store.history('run_a'))[0] },
      })
      expect(await s.row('run_a')).toMatchObject({ status: 'running', owner: worker.id, claim: 1, startedAt: now })
      await s.pass(50)
      await worker.park(claimed, { seen: 1 })
      await s.post(signal('run_a', 'a'))
      expect(await worker.claimOne()).toMatchObject({ claim: 2, started: null, msgs: 2 })
      expect((await s.row('run_a')).startedAt).toBe(now)
    })

    test('keeps to the queues, workflows and versions of the worker', async () => {
      await using s = await scene()
      const of = {
        queues: ['default', 'fast'],
        workflows: [
          { name: 'order', version: 2 },
          { name: 'mail', version: 1 },
        ],
      }
      const worker = await s.worker({ of })
      await s.start({ runId: 'run_a' })
      await s.start({ runId: 'run_b', version: 2, queue: 'slow' })
      await s.start({ runId: 'run_c', version: 2, queue: 'fast' })
      await s.start({ runId: 'run_d', workflow: 'mail' })
      await s.start({ runId: 'run_e', workflow: 'other' })
      expect((await worker.claim()).map(({ runId }) => runId).sort()).toEqual(['run_c', 'run_d'])
    })

    test('gives each run to one of many who claim at once', async () => {
      await using s = await scene()
      const workers = await Promise.all([s.worker(), s.worker(), s.worker()])
      const ids = Array.from({ length: 30 }, (_, i) => `run_${i}`)
      await s.store.start(ids.map((runId) => request({ runId })))
      const claimed: string[] = []
      for (let left = true; left; ) {
        const rounds = await Promise.all([...workers, ...workers].map((worker) => worker.claim(4)))
        for (const [i, runs] of rounds.entries()) {
          for (const { runId } of runs) expect((await s.row(runId)).owner).toBe(workers[i % 3]!.id)
          claimed.push(...runs.map(({ runId }) => runId))
        }
        left = rounds.some((runs) => runs.length > 0)
      }
      expect(claimed.sort()).toEqual(ids.sort())
    })

    test('gives nothing to who is not registered', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a' })
      expect(await s.store.claim('stranger', lanes, 10, { suspects: false, aged: false })).toEqual([])
      expect((await s.row('run_a')).claim).toBe(0)
    })
  })

  describe(`${name}: the fence`, () => {
    /** A worker holds a run until it is taken over; then another has it. */
    async function takenOver(s: Scene): Promise<{ old: Hand; run: { runId: string; claim: number }; next: Hand }> {
      const old = await s.worker({ id: 'old' })
      const run = await s.held(old, { runId: 'run_a' })
      await s.post(signal('run_a', 'a', { messageId: 'm1' }))
      expect(await s.store.takeOver(['old'])).toEqual({ workers: 1, runs: 1, quarantined: [], nextDue: null })
      const next = await s.worker({ id: 'next' })
      expect(await next.claimOne()).toMatchObject({ runId: 'run_a', claim: 2, crashes: 1, started: null })
      return { old, run, next }
    }

    test('refuses every write of a worker that was taken over, and nothing of it is there', async () => {
      await using s = await scene()
      const { old, run } = await takenOver(s)
      const before = [await s.row('run_a'), await s.store.load(['run_a'])]
      const start = child({ runId: 'run_a.1' })
      expect(await old.append(run, [{ ...start, inboxN: 1, answers: 'm1' }])).toMatchObject({ fenced: true })
      expect(await old.park(run, { seen: 1 })).toMatchObject({ fenced: true })
      expect(await s.store.changeInTurn('old', changeFor(run, { status: 'blocked', problem: '{}' }))).toMatchObject({
        fenced: true,
      })
      expect(await old.close(run, 'completed')).toMatchObject({ fenced: true })
      expect(await s.store.saveCheckpoint('old', 'run_a', 1, 1, '1')).toBe(false)
      expect(await s.store.setAttributes('old', 'run_a', 1, '{"a":1}')).toBe(false)
      expect(await s.store.transaction('old', { ...run, op: 1 }, async () => '1')).toBeNull()
      expect(await old.claim()).toEqual([])
      expect(await s.store.giveBackStrays('old', [])).toBe(0)
      expect([await s.row('run_a'), await s.store.load(['run_a'])]).toEqual(before)
      expect(await s.store.find('run_a.1')).toBeNull()
    })

    test('refuses writes to a run that another has, while the worker may write to its own', async () => {
      await using s = await scene()
      const { run, next } = await takenOver(s)
      const other = await s.worker({ id: 'other' })
      const own = await s.held(other, { runId: 'run_b' })
      const answer = await s.store.append('other', 'batch', [
        ...eventsFor({ runId: 'run_a', claim: 2 }, 2, [child({ runId: 'run_a.1' })]),
        ...eventsFor(own, 2, [step]),
      ])
      expect(answer).toMatchObject({ lost: new Set(['run_a']), fenced: false })
      expect([await s.types('run_a'), await s.types('run_b')]).toEqual([
        ['RunStarted'],
        ['RunStarted', 'StepCompleted'],
      ])
      expect(await s.store.find('run_a.1')).toBeNull()
      // Its own owner, under a claim that is over.
      expect((await next.append(run, [step])).lost).toEqual(new Set(['run_a']))
      expect((await next.close(run, 'completed')).others).toEqual(new Map([['run_a', 'lost']]))
      expect((await other.close({ runId: 'run_a', claim: 2 }, 'completed')).others).toEqual(
        new Map([['run_a', 'lost']]),
      )
      expect(await s.store.saveCheckpoint('other', 'run_a', 2, 1, '1')).toBe(false)
      expect(await s.store.setAttributes('next', 'run_a', 1, '{"a":1}')).toBe(false)
      expect(await s.store.transaction('next', { ...run, op: 1 }, async () => '1')).toBeNull()
      expect(await s.row('run_a')).toMatchObject({ status: 'running', owner: 'next', attributes: null })
      expect((await s.store.load(['run_a'])).get('run_a')!.checkpoints.size).toBe(0)
    })
  })

  describe(`${name}: appending`, () => {
    test('puts events behind those that are there, with the time of the batch', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      const now = await s.pass(500)
      const failed = { type: 'AttemptFailed', op: 1, name: 'one', payload: '{}', facts: '{"attempt":1}' } as const
      const answer = await s.store.append(worker.id, 'batch', [
        ...eventsFor(a, 2, [failed, step]),
        ...eventsFor(b, 2, [step]),
      ])
      expect(answer).toEqual({ at: now, lost: new Set(), refused: new Set(), fenced: false })
      expect((await s.store.history('run_a')).slice(1)).toEqual([
        { seq: 2, type: 'AttemptFailed', op: 1, name: 'one', payload: '{}', facts: { attempt: 1 }, at: now },
        { seq: 3, type: 'StepCompleted', op: 1, name: 'one', payload: '1', facts: null, at: now },
      ])
      expect(await s.types('run_b')).toEqual(['RunStarted', 'StepCompleted'])
      expect((await s.row('run_a')).historyLength).toBe(3)
    })

    test('refuses what does not join what is there, without touching the other runs of the batch', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      await s.post(signal('run_a', 'x'))
      const answer = await s.store.append(worker.id, 'batch', [
        ...eventsFor(a, 3, [{ ...child({ runId: 'run_a.1' }), inboxN: 1 }, step]),
        ...eventsFor(b, 2, [step]),
      ])
      expect(answer.lost).toEqual(new Set(['run_a']))
      expect([await s.types('run_a'), await s.types('run_b')]).toEqual([
        ['RunStarted'],
        ['RunStarted', 'StepCompleted'],
      ])
      expect(await s.inbox('run_a')).toHaveLength(1)
      expect(await s.store.find('run_a.1')).toBeNull()
      // Another event stands where this one should.
      const taken = await worker.append(b, [{ ...step, payload: '2' }], { firstSeq: 2 })
      expect(taken.lost).toEqual(new Set(['run_b']))
      expect((await s.store.history('run_b'))[1]).toMatchObject({ payload: '1' })
    })

    test('recognises a batch that had been written, with its time and the children that it started', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await s.start({ runId: 'run_x', id: 'taken', queue: 'elsewhere' })
      await s.post(signal('run_a', 'x'))
      const events = eventsFor(run, 2, [
        { type: 'SignalReceived', op: 1, name: 'x', inboxN: 1 },
        { ...child({ runId: 'run_a.2' }), op: 2 },
        { ...child({ runId: 'run_a.3', id: 'taken' }), op: 3 },
      ])
      const first = await s.store.append(worker.id, 'batch', events)
      expect(first).toMatchObject({ lost: new Set(), refused: new Set(['run_a.3']), fenced: false })
      const history = await s.store.history('run_a')
      await s.pass(1_000)
      expect(await s.store.append(worker.id, 'batch', events)).toEqual(first)
      expect(await s.store.history('run_a')).toEqual(history)
      expect(await s.types('run_a.2')).toEqual(['RunStarted'])
      // Under another name it is another batch, and comes too late.
      expect((await s.store.append(worker.id, 'other', events)).lost).toEqual(new Set(['run_a']))
      expect(await s.store.history('run_a')).toEqual(history)
    })

    test('takes messages out of the inbox with the events that they became', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await s.post(signal('run_a', 'a'), signal('run_a', 'b'), signal('run_a', 'c'))
      await worker.append(run, [{ type: 'SignalReceived', op: 1, name: 'b', inboxN: 2 }])
      expect((await s.store.inbox(['run_a'])).get('run_a')).toMatchObject({
        msgs: 3,
        messages: [
          { n: 1, name: 'a' },
          { n: 3, name: 'c' },
        ],
      })
    })

    test('starts children with their events, and says ChildFailed of those whose id is taken', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a', id: 'order-1' })
      await s.start({ runId: 'run_x', id: 'taken', queue: 'elsewhere' })
      const now = await s.pass(100)
      const answer = await worker.append(run, [
        { ...child({ runId: 'run_a.1', timeoutMs: 1_000, attributes: '{"a":1}', priority: 2 }), op: 4 },
        { ...child({ runId: 'run_a.2', id: 'taken', conflict: '"taken"' }), op: 5 },
        { ...child({ runId: 'run_a.3', id: 'mine' }), op: 6 },
        { ...child({ runId: 'run_a.4', id: 'mine' }), op: 7 },
      ])
      expect(answer).toMatchObject({ lost: new Set(), refused: new Set(['run_a.2', 'run_a.4']) })
      expect((await s.store.history('run_a')).slice(1).map(({ type, op, payload }) => [type, op, payload])).toEqual([
        ['ChildStarted', 4, null],
        ['ChildFailed', 5, '"taken"'],
        ['ChildStarted', 6, null],
        ['ChildFailed', 7, '{"name":"IdConflictError"}'],
      ])
      expect(await s.store.find('run_a.2')).toBeNull()
      expect(await s.store.history('run_a.1')).toEqual([
        {
          seq: 1,
          type: 'RunStarted',
          op: 0,
          name: null,
          payload: '"for the child"',
          facts: { seed: 'child' },
          at: now,
        },
      ])
      expect(await s.row('run_a.1')).toMatchObject({
        ...{ status: 'pending', priority: 2, createdAt: now, due: now, deadline: now + 1_000, attributes: { a: 1 } },
        parent: { id: 'order-1', runId: 'run_a' },
      })
      const claimed = await worker.claim()
      expect(claimed.map(({ runId, hasParent }) => [runId, hasParent])).toEqual([
        ['run_a.1', true],
        ['run_a.3', true],
      ])
    })

    test('lets the sender of an update find the answer by its id', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const ear = await Ear.on(s.store)
      const run = await s.held(worker, { runId: 'run_a' })
      const update = (messageId: string) => signal('run_a', 'u', { kind: 'update', messageId })
      await s.post(update('u1'), update('u2'), update('u3'))
      const ask = () =>
        s.store.answers(['u1', 'u2', 'u3', 'never sent'].map((messageId) => ({ runId: 'run_a', messageId })))
      const none = { answer: null, closed: null, successor: null }
      expect(await ask()).toEqual([none, none, none, none])
      await worker.append(run, [
        { type: 'UpdateReceived', name: 'u', inboxN: 1 },
        { type: 'UpdateCompleted', name: 'u', payload: '"yes"', answers: 'u1' },
        { type: 'UpdateReceived', name: 'u', inboxN: 2 },
        { type: 'UpdateRejected', name: 'u', payload: '"no"', answers: 'u2' },
      ])
      await ear.hears('answered', 'run_a')
      expect((await ask()).map(({ answer }) => answer)).toEqual([
        { accepted: true, payload: '"yes"' },
        { accepted: false, payload: '"no"' },
        null,
        null,
      ])
      await worker.close(run, 'completed')
      expect((await ask()).map(({ closed }) => closed)).toEqual(Array(4).fill('completed'))
      expect((await ask())[0]!.answer).toEqual({ accepted: true, payload: '"yes"' })
    })
  })

  describe(`${name}: letting go of runs`, () => {
    test('a run parks when it has seen every message, and not before', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await s.post(signal('run_a', 'a'), signal('run_a', 'b'))
      expect((await worker.park(run, { seen: 1 })).others).toEqual(new Map([['run_a', 'messages']]))
      expect(await s.row('run_a')).toMatchObject({ status: 'running', owner: worker.id })
      const due = (await s.store.now()) + 5_000
      const answer = await worker.park(run, { seen: 2, due, waits: '[{"op":1}]' })
      expect(answer).toEqual({ at: await s.store.now(), others: new Map(), fenced: false })
      expect(await s.row('run_a')).toMatchObject({ status: 'waiting', owner: null, due, waits: '[{"op":1}]', claim: 1 })
      // Those that it has seen and left do not wake it; another one does.
      await s.store.takeOver([])
      expect((await s.row('run_a')).status).toBe('waiting')
      await s.post(signal('run_a', 'c'))
      expect(await s.row('run_a')).toMatchObject({ status: 'pending', due: await s.store.now() })
      expect(await worker.claimOne()).toMatchObject({ claim: 2, msgs: 3 })
      expect((await s.row('run_a')).waits).toBeNull()
    })

    test('a change that had happened is recognised, and one that comes too late is lost', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      for (let tries = 0; tries < 2; tries++) {
        expect(await worker.park(run)).toMatchObject({ others: new Map(), fenced: false })
      }
      await s.post(signal('run_a', 'a'))
      const again = await worker.claimOne()
      expect((await worker.park(run)).others).toEqual(new Map([['run_a', 'lost']]))
      expect((await worker.change({ runId: 'run_x', claim: 1 }, { status: 'pending' })).others).toEqual(
        new Map([['run_x', 'lost']]),
      )
      const terminal = { seq: 2, type: 'RunCompleted', payload: '1', facts: null } as const
      for (let tries = 0; tries < 2; tries++) {
        expect((await worker.change(again, { status: 'completed', terminal })).others).toEqual(new Map())
      }
      expect(await s.types('run_a')).toEqual(['RunStarted', 'RunCompleted'])
    })

    test('a run that is given back is ready at once or at a time, and a blocked one says why', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      const c = await s.held(worker, { runId: 'run_c' })
      const now = await s.pass(10)
      await worker.change(a, { status: 'pending' })
      await worker.change(b, { status: 'pending', due: now + 1_000 })
      await worker.change(c, { status: 'blocked', problem: '{"code":"nondeterminism"}' })
      expect(await s.row('run_a')).toMatchObject({ status: 'pending', due: now, owner: null })
      expect(await s.row('run_c')).toMatchObject({ status: 'blocked', problem: '{"code":"nondeterminism"}' })
      expect((await worker.claimOne()).runId).toBe('run_a')
      await s.pass(1_000)
      expect((await worker.claimOne()).runId).toBe('run_b')
    })

    test('the closing event commits with the status, and changes of several runs go together', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      await s.post(signal('run_b', 'x'))
      await worker.append(a, [step])
      const now = await s.pass(10)
      const error = { name: 'TypeError', message: 'No such Thing' }
      const terminal = { seq: 3, type: 'RunFailed', payload: '{"e":1}', facts: '{"kind":"result"}' } as const
      const { others } = await s.store.change(worker.id, [
        changeFor(a, { status: 'failed', error, terminal }),
        changeFor(b, { status: 'waiting', seen: 0 }),
      ])
      expect(others).toEqual(new Map([['run_b', 'messages']]))
      expect((await s.store.history('run_a')).at(-1)).toEqual({
        ...{ seq: 3, type: 'RunFailed', op: null, name: null, payload: '{"e":1}', facts: { kind: 'result' }, at: now },
      })
      expect(await s.row('run_a')).toMatchObject({ status: 'failed', owner: null, closedAt: now, error, due: null })
      expect(await s.store.results(['run_a', 'run_b', 'run_x'])).toEqual([
        { runId: 'run_a', status: 'failed', payload: '{"e":1}', successor: null },
      ])
      expect((await worker.append(a, [step])).lost).toEqual(new Set(['run_a']))
    })

    test('a closing event in the place of another is a fault, and nothing of the call happens', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      await worker.append(b, [step])
      const terminal = { seq: 2, type: 'RunCompleted', payload: null, facts: null } as const
      const changes = [changeFor(a, { status: 'completed', terminal }), changeFor(b, { status: 'completed', terminal })]
      await expect(s.store.change(worker.id, changes)).rejects.toThrow()
      expect([await s.types('run_a'), await s.types('run_b')]).toEqual([
        ['RunStarted'],
        ['RunStarted', 'StepCompleted'],
      ])
      expect((await s.row('run_a')).status).toBe('running')
    })

    test('a parent that is open gets a message with its child’s end', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const ear = await Ear.on(s.store)
      const parent = await s.held(worker, { runId: 'run_a' })
      await worker.append(parent, [
        { ...child({ runId: 'run_a.4' }), op: 4 },
        { ...child({ runId: 'run_a.5' }), op: 5 },
        { ...child({ runId: 'run_a.6' }), op: 6 },
      ])
      await worker.park(parent)
      const children = (await worker.claim()).sort((a, b) => (a.runId < b.runId ? -1 : 1))
      await worker.close(children[0]!, 'completed', { payload: '"four"', hasParent: true })
      expect(await s.row('run_a')).toMatchObject({ status: 'pending' })
      await ear.hears('message', 'run_a')
      await worker.close(children[1]!, 'failed', { payload: '"five"', hasParent: true })
      expect(await s.inbox('run_a')).toEqual([
        { n: 1, kind: 'child', name: '4:completed', payload: '"four"', messageId: null },
        { n: 2, kind: 'child', name: '5:failed', payload: '"five"', messageId: null },
      ])
      const again = await worker.claimOne()
      expect((await worker.park(again, { seen: 1 })).others).toEqual(new Map([['run_a', 'messages']]))
      await worker.close(again, 'completed')
      expect(await worker.close(children[2]!, 'completed', { hasParent: true })).toMatchObject({ others: new Map() })
      expect((await s.store.inbox(['run_a'])).get('run_a')!.msgs).toBe(2)
    })

    test('one that continues as new hands on its id, its parent and what was not read', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const ear = await Ear.on(s.store)
      const top = await s.held(worker, { runId: 'run_p' })
      await worker.append(top, [{ ...child({ runId: 'run_a', id: 'order-1', timeoutMs: 60_000, priority: 7 }), op: 3 }])
      const run = await worker.claimOne()
      await s.store.setAttributes(worker.id, 'run_a', run.claim, '{"month":1}')
      await s.post(
        signal('run_a', 'taken', { messageId: 'm1' }),
        signal('run_a', 'left', { messageId: 'm2', payload: '2' }),
        signal('run_a', 'asked', { kind: 'update', messageId: 'u1' }),
        { run: 'run_a', kind: 'cancel', name: null, payload: null, messageId: 'c1' },
      )
      await worker.append(run, [{ type: 'SignalReceived', op: 1, name: 'taken', inboxN: 1 }])
      const successor = { runId: 'run_b', version: null, unread: [unread('signal', 'taken', 'm1')] }
      const end = { payload: '"next"', facts: '{"runId":"run_b"}', hasParent: true, successor }
      // It hands messages on, so none may come unseen.
      expect((await worker.close(run, 'continued', { ...end, seen: 3 })).others).toEqual(
        new Map([['run_a', 'messages']]),
      )
      const now = await s.pass(1_000)
      expect((await worker.close(run, 'continued', { ...end, seen: 4 })).others).toEqual(new Map())
      await ear.hears('ready', 'default')
      expect(await s.inbox('run_p')).toEqual([])
      expect(await s.row('order-1')).toMatchObject({
        ...{ runId: 'run_b', version: 1, priority: 7, status: 'pending', claim: 0, due: now, deadline: now + 60_000 },
        ...{ attributes: { month: 1 }, parent: { runId: 'run_p' } },
      })
      expect(await s.store.history('run_b')).toEqual([
        { seq: 1, type: 'RunStarted', op: 0, name: null, payload: '"next"', facts: { runId: 'run_a' }, at: now },
      ])
      expect(await s.inbox('run_b')).toEqual([
        { n: 1, kind: 'signal', name: 'taken', payload: null, messageId: 'm1' },
        { n: 2, kind: 'signal', name: 'left', payload: '2', messageId: 'm2' },
        { n: 3, kind: 'update', name: 'asked', payload: null, messageId: 'u1' },
      ])
      expect((await s.inbox('run_a')).map(({ kind }) => kind)).toEqual(['cancel'])
      // An id that was accepted once is not accepted again by the run that follows.
      await s.post(signal('run_b', 'taken', { messageId: 'm1' }), signal('run_b', 'left', { messageId: 'm2' }))
      expect(await worker.claimOne()).toMatchObject({ runId: 'run_b', msgs: 3, hasParent: true })
      expect(await s.store.results(['run_a'])).toEqual([
        { runId: 'run_a', status: 'continued', payload: '"next"', successor: 'run_b' },
      ])
      expect(await s.store.answers([{ runId: 'run_a', messageId: 'u1' }])).toEqual([
        { answer: null, closed: 'continued', successor: 'run_b' },
      ])
    })

    test('the version of the run that follows is what is asked for, else the highest that a live worker has', async () => {
      await using s = await scene()
      const of = { queues: ['default'], workflows: [1, 2].map((version) => ({ name: 'order', version })) }
      const worker = await s.worker({ of })
      const successor = (runId: string, version: number | null) => ({ runId, version, unread: [] })
      await worker.close(await s.held(worker, { runId: 'run_a', id: 'a' }), 'continued', {
        successor: successor('run_a2', null),
      })
      expect((await s.row('a')).version).toBe(2)
      await worker.close(await worker.claimOne(), 'continued', { successor: successor('run_a3', 7) })
      expect((await s.row('a')).version).toBe(7)
      expect((await s.row('a')).runId).toBe('run_a3')
    })

    test('a run that waits can be blocked, unless somebody has had it since', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      expect(await s.store.blockParked('run_a', 1, '{}')).toBe(false)
      await worker.park(run, { due: (await s.store.now()) + 1_000 })
      expect(await s.store.blockParked('run_a', 2, '{}')).toBe(false)
      expect(await s.store.blockParked('run_a', 1, '{"code":"unrecorded_await"}')).toBe(true)
      expect(await s.row('run_a')).toMatchObject({
        ...{ status: 'blocked', due: null, problem: '{"code":"unrecorded_await"}' },
      })
      expect(await s.store.blockParked('run_a', 1, '{}')).toBe(false)
    })
  })

  describe(`${name}: waking and taking over`, () => {
    test('what is due is ready, at its time and not before', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const now = await s.store.now()
      const a = await s.held(worker, { runId: 'run_a' })
      const b = await s.held(worker, { runId: 'run_b' })
      const c = await s.held(worker, { runId: 'run_c' })
      await worker.park(a, { due: now + 1_000 })
      await worker.park(b, { due: now + 1_001 })
      await worker.park(c)
      await s.pass(1_000)
      expect(await s.store.wake()).toBe(1)
      expect(await s.store.wake()).toBe(0)
      expect((await worker.claimOne()).runId).toBe('run_a')
      await s.pass(1)
      expect(await s.store.wake()).toBe(1)
      expect((await worker.claimOne()).runId).toBe('run_b')
      await s.pass(1_000_000)
      expect(await s.store.wake()).toBe(0)
    })

    test('workers that are named, and those whose lease is over, are ended, and their runs given back', async () => {
      await using s = await scene()
      const dead = await s.worker()
      const silent = await s.worker({ leaseMs: 1_200, beatMs: 60_000 })
      const well = await s.worker()
      const a = await s.held(dead, { runId: 'run_a' })
      await s.held(silent, { runId: 'run_b' })
      const c = await s.held(well, { runId: 'run_c' })
      await well.beat(({ overdue }) => overdue)
      const taken = await s.store.takeOver([dead.id, 'never there'])
      expect(taken).toEqual({ workers: 2, runs: 2, quarantined: [], nextDue: null })
      expect(await s.store.takeOver([dead.id])).toEqual({ workers: 0, runs: 0, quarantined: [], nextDue: null })
      expect((await dead.append(a, [step])).fenced).toBe(true)
      expect((await well.append(c, [step])).lost.size).toBe(0)
      expect((await well.claim()).map(({ runId }) => runId).sort()).toEqual(['run_a', 'run_b'])
    })

    test('who leaves by itself gives its place up at once', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await s.store.unregister(worker.id)
      expect((await worker.append(run, [step])).fenced).toBe(true)
      expect((await worker.park(run)).fenced).toBe(true)
      // Also while nobody has taken its runs yet.
      expect(await s.store.saveCheckpoint(worker.id, 'run_a', 1, 1, '1')).toBe(false)
      expect(await s.store.setAttributes(worker.id, 'run_a', 1, '{"a":1}')).toBe(false)
      expect(await s.store.transaction(worker.id, { ...run, op: 1 }, async () => '1')).toBeNull()
      expect(await s.store.takeOver([])).toMatchObject({ workers: 0, runs: 1 })
    })

    test('a run whose workers crash without getting on is tried alone, after pauses, and blocked at the fifth', async () => {
      await using s = await scene()
      const got: [string, number, number][] = []
      await s.start({ runId: 'run_a' })
      for (let crashes = 1; crashes <= 5; crashes++) {
        const worker = await s.worker()
        const suspect = crashes - 1 >= suspectAfter
        expect(await worker.claim(10, !suspect)).toEqual([])
        const run = await worker.claimOne(suspect)
        expect(run.crashes).toBe(crashes - 1)
        await worker.append(run, [{ type: 'StepScheduled', op: 1, name: 'one' }])
        const { nextDue, quarantined } = await s.store.takeOver([worker.id])
        const { status, problem } = await s.row('run_a')
        const pause = nextDue === null ? 0 : nextDue - (await s.store.now())
        got.push([status, pause, quarantined.length])
        if (status === 'blocked') expect(JSON.parse(problem!)).toMatchObject({ code: 'crash_loop' })
        await s.pass(pause)
      }
      expect(got).toEqual([
        ['pending', 0, 0],
        ['pending', 2_000, 0],
        ['pending', 4_000, 0],
        ['pending', 8_000, 0],
        ['blocked', 0, 1],
      ])
      // Other code does not help a run that ends its process; a person's word does.
      expect(await s.store.unblock([{ name: 'order', version: 1 }])).toBe(0)
      expect(await s.store.resume('run_a')).toBe(true)
      expect(await (await s.worker()).claimOne()).toMatchObject({ crashes: 0 })
    })

    test('a run that gets on between crashes is not blocked, and one that is let go of is suspected no more', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a' })
      for (let crashes = 0; crashes < 7; crashes++) {
        const worker = await s.worker()
        const run = await worker.claimOne()
        await worker.append(run, [{ ...step, type: 'AttemptFailed' }])
        expect(await s.store.takeOver([worker.id])).toMatchObject({ runs: 1, quarantined: [], nextDue: null })
      }
      const worker = await s.worker()
      const run = await worker.claimOne()
      expect(run.crashes).toBe(1)
      await worker.park(run)
      await s.post(signal('run_a', 'a'))
      expect((await worker.claimOne()).crashes).toBe(0)
    })

    test('runs that a worker owns without knowing of it are given back', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const other = await s.worker()
      await s.held(worker, { runId: 'run_a' })
      await s.held(worker, { runId: 'run_b' })
      await s.held(other, { runId: 'run_c' })
      expect(await s.store.giveBackStrays(worker.id, ['run_a'])).toBe(1)
      expect(await s.store.giveBackStrays(worker.id, ['run_a'])).toBe(0)
      expect(await s.row('run_b')).toMatchObject({ status: 'pending', owner: null, claim: 1 })
      expect(await worker.claimOne()).toMatchObject({ runId: 'run_b', claim: 2, crashes: 0 })
    })
  })

  describe(`${name}: blocked runs and versions`, () => {
    const of = (...versions: number[]) => ({
      queues: ['default'],
      workflows: versions.map((version) => ({ name: 'order', version })),
    })

    test('other code gives blocked runs another try, a person any', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const block = async (runId: string) =>
        worker.change(await s.held(worker, { runId }), { status: 'blocked', problem: '{"code":"nondeterminism"}' })
      await block('run_a')
      expect(await s.store.unblock([{ name: 'order', version: 2 }])).toBe(0)
      expect(await s.store.unblock([{ name: 'mail', version: 1 }])).toBe(0)
      expect(await s.store.unblock([{ name: 'order', version: 1 }])).toBe(1)
      expect(await worker.claimOne()).toMatchObject({ runId: 'run_a', claim: 2 })
      expect((await s.row('run_a')).problem).toBeNull()
      expect(await s.store.resume('run_a')).toBe(false)
      await block('run_b')
      expect(await s.store.resume('run_b')).toBe(true)
      expect(await s.row('run_b')).toMatchObject({ status: 'pending', problem: null })
      expect(await s.store.resume('run_b')).toBe(false)
      expect(await s.store.resume('run_x')).toBe(false)
    })

    test('a run is paused when nobody holds it, is not claimed, and goes on where it stood; requests to pause are void then', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const problem = '{"code":"paused","message":"later"}'
      await s.start({ runId: 'run_a' })
      expect(await s.store.pause('run_a', problem)).toBe(true)
      expect(await s.store.pause('run_a', problem)).toBe(false)
      expect(await s.row('run_a')).toMatchObject({ status: 'paused', problem })
      expect(await worker.claim(10)).toEqual([])
      const ask = (kind: 'pause' | 'cancel') => ({ run: 'run_a', kind, name: null, payload: null, messageId: null })
      await s.store.post([ask('pause'), ask('cancel'), ask('pause')])
      expect((await s.row('run_a')).status).toBe('paused')
      expect(await s.store.resume('run_a')).toBe(true)
      expect(await s.row('run_a')).toMatchObject({ status: 'pending', problem: null })
      expect((await s.inbox('run_a')).map(({ kind }) => kind)).toEqual(['cancel'])

      const run = await worker.claimOne()
      expect(await s.store.pause('run_a', problem)).toBe(false)
      await worker.change(run, { status: 'paused', problem })
      expect(await s.row('run_a')).toMatchObject({ status: 'paused', owner: null, problem })
      expect(await worker.claim(10)).toEqual([])

      // Before the time of its start.
      await s.start({ runId: 'run_b', delayMs: 60_000 })
      const { due } = await s.row('run_b')
      expect(await s.store.pause('run_b', problem)).toBe(true)
      expect(await s.store.resume('run_b')).toBe(true)
      expect(await s.row('run_b')).toMatchObject({ status: 'waiting', due })
      expect(await s.store.pause('run_x', problem)).toBe(false)
    })

    test('a run that nobody holds can be given to another version', async () => {
      await using s = await scene()
      const one = await s.worker({ of: of(1) })
      const run = await s.held(one, { runId: 'run_a' })
      expect(await s.store.setVersion('run_a', 2)).toBe(false)
      const due = (await s.store.now()) + 1_000
      await one.park(run, { due })
      expect(await s.store.setVersion('run_a', 2)).toBe(true)
      expect(await s.row('run_a')).toMatchObject({ status: 'waiting', due, version: 2 })
      await s.post(signal('run_a', 'a'))
      expect(await one.claim()).toEqual([])
      const two = await s.worker({ of: of(2) })
      const again = await two.claimOne()
      expect(again).toMatchObject({ runId: 'run_a', version: 2 })
      await two.change(again, { status: 'blocked', problem: '{"code":"nondeterminism"}' })
      expect(await s.store.setVersion('run_a', 1)).toBe(true)
      const back = await one.claimOne()
      expect((await s.row('run_a')).problem).toBeNull()
      await one.close(back, 'completed')
      expect(await s.store.setVersion('run_a', 2)).toBe(false)
      expect(await s.store.setVersion('run_x', 2)).toBe(false)
    })

    test('versions with open runs are counted, and it is told whether somebody has their code', async () => {
      await using s = await scene()
      const worker = await s.worker({ of: of(2) })
      await s.start({ runId: 'run_a' })
      await s.start({ runId: 'run_b', version: 2 })
      await s.start({ runId: 'run_c', version: 2 })
      await s.start({ runId: 'run_d', workflow: 'mail', version: null })
      const order = [
        { workflow: 'order', version: 1, open: 1, served: false },
        { workflow: 'order', version: 2, open: 2, served: true },
      ]
      expect(await s.store.versions('order')).toEqual(order)
      expect(await s.store.versions(null)).toEqual([{ workflow: 'mail', version: 0, open: 1, served: false }, ...order])
      await worker.close((await worker.claim(1))[0]!, 'completed')
      expect((await s.store.versions('order'))[1]).toMatchObject({ open: 1 })
      await s.store.takeOver([worker.id])
      expect((await s.store.versions('order'))[1]).toMatchObject({ served: false })
    })
  })

  describe(`${name}: reading`, () => {
    async function population(s: Scene): Promise<void> {
      const worker = await s.worker()
      const attributes = { customer: 'ada', tags: ['red', 'new'], vip: true }
      await worker.close(await s.held(worker, { runId: 'run_1', attributes }), 'completed')
      await s.pass(1_000)
      const error = { name: 'TypeError', message: 'No such Thing' }
      await worker.close(await s.held(worker, { runId: 'run_2', attributes: { customer: 'bob' } }), 'failed', { error })
      await s.pass(1_000)
      await s.start({ runId: 'run_3', id: 'order-3', queue: 'slow', version: 2 })
      await s.start({ runId: 'run_4', workflow: 'mail', attributes: { customer: 'ada', tags: ['red'] } })
    }
    const ids = async (s: Scene, filter: Parameters<Scene['store']['list']>[0]) =>
      (await s.store.list(filter)).rows.map(({ runId }) => runId)

    test('lists runs, newest first, filtered', async () => {
      await using s = await scene()
      const began = await s.store.now()
      await population(s)
      expect(await ids(s, {})).toEqual(['run_4', 'run_3', 'run_2', 'run_1'])
      expect(await ids(s, { status: 'failed' })).toEqual(['run_2'])
      expect(await ids(s, { status: ['failed', 'completed'] })).toEqual(['run_2', 'run_1'])
      expect(await ids(s, { status: [] })).toEqual([])
      expect(await ids(s, { workflow: 'mail' })).toEqual(['run_4'])
      expect(await ids(s, { version: 2 })).toEqual(['run_3'])
      expect(await ids(s, { queue: 'slow' })).toEqual(['run_3'])
      expect(await ids(s, { error: 'such thing' })).toEqual(['run_2'])
      expect(await ids(s, { attributes: { customer: 'ada' } })).toEqual(['run_4', 'run_1'])
      expect(await ids(s, { attributes: { customer: 'ada', vip: true } })).toEqual(['run_1'])
      expect(await ids(s, { attributes: { tags: ['new'] } })).toEqual(['run_1'])
      expect(await ids(s, { attributes: { tags: ['red', 'new', 'red'] } })).toEqual(['run_1'])
      expect(await ids(s, { attributes: { vip: false } })).toEqual([])
      expect(await ids(s, { attributes: { tags: 'red' } })).toEqual([])
      expect(await ids(s, { attributes: {} })).toEqual(['run_4', 'run_2', 'run_1'])
      const second = new Date(began + 1_000)
      expect(await ids(s, { startedAfter: second })).toEqual(['run_4', 'run_3', 'run_2'])
      expect(await ids(s, { startedBefore: second })).toEqual(['run_1'])
    })

    test('lists runs in pages that are one after the other', async () => {
      await using s = await scene()
      await population(s)
      const pages: string[][] = []
      for (let after: string | null | undefined; after !== null; ) {
        const { rows, next } = await s.store.list({ limit: 2, ...(after === undefined ? {} : { after }) })
        pages.push(rows.map(({ runId }) => runId))
        after = next
      }
      expect(pages).toEqual([
        ['run_4', 'run_3'],
        ['run_2', 'run_1'],
      ])
      expect((await s.store.list({ limit: 4 })).next).toBeNull()
      for (const limit of [0, 1_001, 1.5]) {
        await expect(s.store.list({ limit })).rejects.toThrow(/limit: expected a whole number from 1 to 1000/)
      }
      await expect(s.store.list({ status: 'asleep' as 'failed' })).rejects.toThrow(/status: expected one of pending,/)
    })

    test('loads what goes on with a run needs: events, messages, checkpoints', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await worker.append(run, [step, { ...step, op: 2, name: 'two' }])
      await s.post(signal('run_a', 'a', { messageId: 'm1' }))
      expect(await s.store.saveCheckpoint(worker.id, 'run_a', 1, 3, '"half"')).toBe(true)
      expect(await s.store.saveCheckpoint(worker.id, 'run_a', 1, 3, '"more"')).toBe(true)
      expect(await s.store.saveCheckpoint(worker.id, 'run_a', 1, 4, null)).toBe(true)
      const loaded = await s.store.load(['run_a', 'run_x'])
      expect(loaded.get('run_a')).toEqual({
        events: await s.store.history('run_a'),
        inbox: [{ n: 1, kind: 'signal', name: 'a', payload: null, messageId: 'm1' }],
        checkpoints: new Map([
          [3, '"more"'],
          [4, null],
        ]),
      })
      expect(loaded.get('run_x')).toEqual({ events: [], inbox: [], checkpoints: new Map() })
    })

    test('what was read can be changed without harm, and what was written as well', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const attributes = { tags: ['a'] }
      const run = await s.held(worker, { runId: 'run_a', attributes, facts: { seed: 'x' } })
      attributes.tags.push('b')
      await s.post(signal('run_a', 'a'))
      const read = async () => [await s.row('run_a'), await s.store.load(['run_a'])] as const
      const before = JSON.stringify(await read())
      const [row, loaded] = await read()
      ;(row.attributes!.tags as string[]).push('c')
      Object.assign(row, { status: 'failed' })
      const { events, inbox, checkpoints } = loaded.get('run_a')!
      events[0]!.facts!.seed = 'y'
      events.length = 0
      Object.assign(inbox[0]!, { name: 'b' })
      ;(checkpoints as Map<number, string>).set(1, 'x')
      Object.assign(run.started!, { payload: 'x' })
      expect(JSON.stringify(await read())).toBe(before)
      expect((await s.row('run_a')).attributes).toEqual({ tags: ['a'] })
    })

    test('attributes are put beside those that are there', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a', attributes: { a: 1, b: ['x'] } })
      expect(await s.store.setAttributes(worker.id, 'run_a', run.claim, '{"b":["y"],"c":null}')).toBe(true)
      expect((await s.row('run_a')).attributes).toEqual({ a: 1, b: ['y'], c: null })
      const bare = await s.held(worker, { runId: 'run_b' })
      expect(await s.store.setAttributes(worker.id, 'run_b', bare.claim, '{"a":2}')).toBe(true)
      expect((await s.row('run_b')).attributes).toEqual({ a: 2 })
    })
  })

  describe(`${name}: looking into a run`, () => {
    test('tells who could take it, what is ahead of it and what it has not read', async () => {
      await using s = await scene()
      expect(await s.store.diagnose('run_a')).toBeNull()
      const now = await s.store.now()
      const of = (queue: string, ...versions: number[]) => ({
        queues: [queue],
        workflows: versions.map((version) => ({ name: 'order', version })),
      })
      const able = await s.worker({ id: 'able', of: of('default', 1, 2), leaseMs: 60_000 })
      await s.worker({ id: 'other version', of: of('default', 3) })
      await s.worker({ id: 'other queue', of: of('slow', 1) })
      await s.held(able, { runId: 'run_held' })
      await s.start({ runId: 'run_first', version: 2, priority: 1 })
      await s.start({ runId: 'run_older' })
      await s.start({ runId: 'run_not_in_the_way', version: 3, priority: 1 })
      await s.pass(10)
      await s.start({ runId: 'run_a', id: 'order-1' })
      await s.post(signal('run_a', 'x'), signal('run_a', 'x'))
      await s.pass(5)
      await s.post(signal('run_a', 'y', { kind: 'update' }))
      await s.store.ask({ id: 'q1', runId: 'run_a', name: 'status', payload: null })
      const found = (await s.store.diagnose('order-1'))!
      expect(found).toMatchObject({
        ...{ run: await s.row('run_a'), now: now + 15, crashes: 0, owner: null, ahead: 2, unseen: true, queries: 1 },
        workers: {
          ...{ live: 3, listening: 2, queues: ['default', 'slow'], versions: [1, 2, 3], ableCount: 1 },
          ...{ elsewhere: [{ queue: 'slow', version: 1 }], able: [{ id: 'able', runs: 1 }] },
        },
        unread: [
          { kind: 'signal', name: 'x', count: 2, oldest: now + 10 },
          { kind: 'update', name: 'y', count: 1, oldest: now + 15 },
        ],
      })
      expect(Math.abs(found.workers.able[0]!.leaseMs - 60_000)).toBeLessThan(100)
    })

    test('tells of its owner, until that is ended, and of crashes', async () => {
      await using s = await scene()
      const worker = await s.worker({ id: 'w' })
      await s.held(worker, { runId: 'run_a' })
      const owner = { id: 'w', host: 'here', pid: 1, expired: false, processGone: false }
      expect(await s.store.diagnose('run_a')).toMatchObject({ owner, ahead: 0, unseen: false, unread: [] })
      await worker.vanish()
      expect(await s.store.diagnose('run_a')).toMatchObject({ owner: { ...owner, processGone: true } })
      await s.store.unregister('w')
      expect(await s.store.diagnose('run_a')).toMatchObject({ run: { owner: 'w', status: 'running' }, owner: null })
      await s.store.takeOver([])
      expect(await s.store.diagnose('run_a')).toMatchObject({ run: { owner: null }, owner: null, crashes: 1 })
    })
  })

  describe(`${name}: forks`, () => {
    const fork = (over: Partial<ForkRequest> & Pick<ForkRequest, 'runId' | 'origin'>): ForkRequest => ({
      ...{ id: over.runId, workflow: 'order', version: 1, queue: 'default', priority: 0, timeoutMs: null },
      ...{ attributes: null, events: [], signals: [], redeliver: false, updates: [], children: [] },
      ...over,
    })

    test('begin with a history that is given, and with signals', async () => {
      await using s = await scene()
      const ear = await Ear.on(s.store)
      const events = [
        { seq: 1, type: 'RunStarted', op: 0, name: null, payload: '1', facts: { seed: 'x' }, at: 1_000 },
        { seq: 2, type: 'StepCompleted', op: 1, name: 'one', payload: '2', facts: null, at: 2_000 },
      ] as const
      const wanted = fork({
        ...{
          runId: 'run_b',
          id: 'order-2',
          events,
          origin: { runId: 'run_of_another_store', seq: 3 },
          timeoutMs: 5_000,
        },
        ...{ attributes: { a: 1 }, signals: [{ name: 'go', payload: '3' }], updates: [{ messageId: 'u1', answer: 2 }] },
      })
      const now = await s.store.now()
      for (let tries = 0; tries < 2; tries++) expect(await s.store.fork(wanted)).toBeNull()
      expect(await s.store.histories(['run_b', 'run_x'])).toEqual(
        new Map<string, unknown>([
          ['run_b', events],
          ['run_x', []],
        ]),
      )
      expect(await s.row('order-2')).toMatchObject({
        ...{ runId: 'run_b', status: 'pending', due: now, createdAt: now, deadline: now + 5_000, attributes: { a: 1 } },
        forkedFrom: { runId: 'run_of_another_store', seq: 3 },
      })
      await ear.hears('ready', 'default')
      // An update that the shared history answers is not accepted again.
      await s.post(signal('run_b', 'u', { kind: 'update', messageId: 'u1' }))
      expect(await s.inbox('run_b')).toEqual([{ n: 1, kind: 'signal', name: 'go', payload: '3', messageId: null }])
      expect(await (await s.worker()).claimOne()).toMatchObject({ runId: 'run_b', started: null, msgs: 1, crashes: 0 })
      expect(await s.store.fork(fork({ runId: 'run_c', id: 'order-2', origin: wanted.origin }))).toEqual({
        ...{ runId: 'run_b', workflow: 'order', status: 'running', open: true, payload: '1' },
      })
      expect(await s.store.find('run_c')).toBeNull()
    })

    test('get the signals that their origin took in later or not at all, each once', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await s.post(
        signal('run_a', 'early', { messageId: 'm1' }),
        signal('run_a', 'late', { messageId: 'm2', payload: '2' }),
        signal('run_a', 'unread', { messageId: 'm3' }),
        signal('run_a', 'asked', { kind: 'update', messageId: 'u1' }),
      )
      await worker.append(run, [
        { type: 'SignalReceived', op: 1, name: 'early', inboxN: 1 },
        step,
        { type: 'SignalReceived', op: 2, name: 'late', payload: '2', inboxN: 2 },
        { type: 'SignalReceived', op: 3, name: 'late', payload: '2', facts: '{"again":4}' },
      ])
      const events = (await s.store.history('run_a')).slice(0, 3)
      await s.store.fork(fork({ runId: 'run_b', origin: { runId: 'run_a', seq: 4 }, events, redeliver: true }))
      expect(await s.inbox('run_b')).toEqual([
        { n: 1, kind: 'signal', name: 'late', payload: '2', messageId: null },
        { n: 2, kind: 'signal', name: 'unread', payload: null, messageId: 'm3' },
      ])
      await s.post(
        ...['m1', 'm2', 'm3'].map((messageId) => signal('run_b', 'x', { messageId })),
        signal('run_b', 'asked', { kind: 'update', messageId: 'u1' }),
      )
      expect((await s.inbox('run_b')).map(({ n, name }) => [n, name])).toEqual([
        [1, 'late'],
        [2, 'unread'],
        [3, 'asked'],
      ])
      expect(await s.inbox('run_a')).toHaveLength(2)
    })

    test('take over the children of a run that has closed', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = await s.held(worker, { runId: 'run_a' })
      await worker.append(run, [
        { ...child({ runId: 'run_a.1' }), op: 1 },
        { ...child({ runId: 'run_a.2' }), op: 2 },
      ])
      const children = [
        { op: 1, runId: 'run_a.1' },
        { op: 2, runId: 'run_a.2' },
      ]
      const events = await s.store.history('run_a')
      const wanted = fork({ runId: 'run_b', origin: { runId: 'run_a', seq: 4 }, events, children })
      await expect(s.store.fork(wanted)).rejects.toMatchObject({ code: 'origin_open' })
      const [first, second] = (await worker.claim()).sort((a, b) => (a.runId < b.runId ? -1 : 1))
      // What came of a child is found with the run that goes on for it.
      const successor = { runId: 'run_a.1.next', version: null, unread: [] }
      await worker.close(first!, 'continued', { facts: '{"runId":"run_a.1.next"}', successor, hasParent: true })
      await worker.close(await worker.claimOne(), 'completed', { payload: '"one"', hasParent: true })
      await worker.close(run, 'failed')
      const stranger = { ...wanted, children: [{ op: 1, runId: 'run_x' }] }
      await expect(s.store.fork(stranger)).rejects.toMatchObject({ code: 'child_missing' })
      expect(await s.store.find('run_b')).toBeNull()
      expect(await s.store.fork(wanted)).toBeNull()
      await expect(s.store.fork({ ...wanted, runId: 'run_c', id: 'run_c' })).rejects.toMatchObject({
        code: 'child_taken',
      })
      expect(await s.row('run_a.2')).toMatchObject({ parent: { runId: 'run_b' }, status: 'running' })
      expect((await s.row('run_a.1.next')).parent).toMatchObject({ runId: 'run_a' })
      await worker.close(second!, 'completed', { payload: '"two"', hasParent: true })
      expect(await s.inbox('run_b')).toEqual([
        { n: 1, kind: 'child', name: '1:completed', payload: '"one"', messageId: null },
        { n: 2, kind: 'child', name: '2:completed', payload: '"two"', messageId: null },
      ])
    })
  })

  describe(`${name}: children of runs that have closed`, () => {
    test('hear of it as their policies say: once, also when one worker after the other tells them', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const parent = await s.held(worker, { runId: 'run_a' })
      await worker.append(
        parent,
        (['cancel', 'terminate', 'abandon', 'cancel', 'terminate'] as const).map((parentClosePolicy, i) => ({
          ...child({ runId: `run_a.${i}`, parentClosePolicy, queue: i < 3 ? 'default' : 'elsewhere' }),
          op: i + 1,
        })),
      )
      // Those on the worker's queue are under way when their parent closes, the others were never begun.
      const held = await worker.claim()
      expect(held.map(({ runId }) => runId).sort()).toEqual(['run_a.0', 'run_a.1', 'run_a.2'])
      expect(await s.store.tellChildren()).toEqual({ left: 0, closed: [], posted: [] })
      await worker.close(parent, 'completed', { hasChildren: true })
      expect((await worker.beat()).chores).toBe(true)
      const told = await s.store.tellChildren()
      expect(told.left).toBe(1)
      expect([...told.closed].sort()).toEqual(['run_a.3', 'run_a.4'])
      expect([...told.posted].sort()).toEqual(['run_a.0', 'run_a.1'])
      expect(await s.store.tellChildren()).toEqual({ left: 0, closed: [], posted: [] })
      expect((await worker.beat()).chores).toBe(false)
      const reason = 'the run that started it has closed'
      for (const [runId, kind] of [
        ['run_a.0', 'cancel'],
        ['run_a.1', 'terminate'],
      ] as const) {
        expect(await s.inbox(runId)).toMatchObject([{ kind, name: null, payload: JSON.stringify(reason) }])
      }
      expect(await s.inbox('run_a.2')).toEqual([])
      expect([(await s.row('run_a.3')).status, (await s.row('run_a.4')).status]).toEqual(['cancelled', 'terminated'])
      expect((await s.store.history('run_a.4')).at(-1)!.facts).toEqual({ reason })
    })
  })

  describe(`${name}: transactions of steps`, () => {
    test('put the result into the inbox, once for each operation', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = { ...(await s.held(worker, { runId: 'run_a' })), op: 3 }
      await s.post(signal('run_a', 'a'))
      expect(await s.store.transaction(worker.id, run, async () => '"three"')).toEqual({ n: 2, payload: '"three"' })
      expect((await s.inbox('run_a'))[1]).toEqual({
        ...{ n: 2, kind: 'result', name: '3', payload: '"three"', messageId: null },
      })
      expect(await s.store.transaction(worker.id, run, async () => '"again"')).toBeNull()
      expect(await s.store.transaction(worker.id, { ...run, op: 4 }, async () => null)).toMatchObject({ n: 3 })
      const failing = s.store.transaction(worker.id, { ...run, op: 5 }, () => Promise.reject(new Error('no')))
      await expect(failing).rejects.toThrow('no')
      expect((await s.store.inbox(['run_a'])).get('run_a')!.msgs).toBe(3)
    })

    test('are refused when the run is lost while the body runs', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const run = { ...(await s.held(worker, { runId: 'run_a' })), op: 3 }
      const done = await s.store.transaction(worker.id, run, async () => {
        await s.store.takeOver([worker.id])
        return '1'
      })
      expect(done).toBeNull()
      expect(await s.inbox('run_a')).toEqual([])
    })
  })

  describe(`${name}: queries`, () => {
    test('are taken by one who has the code, answered, and collected once', async () => {
      await using s = await scene()
      const worker = await s.worker()
      await worker.close(await s.held(worker, { runId: 'run_a', id: 'order-1' }), 'completed')
      const query = { id: 'q1', runId: 'run_a', name: 'status', payload: '"please"' }
      expect(await s.store.ask(query)).toBe(true)
      expect(await s.store.ask({ ...query, id: 'q2', runId: 'run_x' })).toBe(false)
      expect((await worker.beat()).queries).toBe(true)
      expect(await s.store.takeQueries('w', { ...lanes, workflows: [{ name: 'order', version: 2 }] })).toEqual([])
      // Of any queue: whoever has the code can replay.
      const taken = await Promise.all([s.store.takeQueries('w', nobody), s.store.takeQueries('w', nobody)])
      expect(taken.flat()).toEqual([
        { ...query, workflow: 'order', version: 1, identity: { id: 'order-1', queue: 'default' } },
      ])
      expect((await worker.beat()).queries).toBe(false)
      expect(await s.store.collectAnswers(['q1'])).toEqual([])
      await s.store.answerQuery({ id: 'q1', answer: '"done"', error: null })
      await s.store.answerQuery({ id: 'forgotten', answer: null, error: null })
      expect(await s.store.collectAnswers(['q1', 'q2'])).toEqual([{ id: 'q1', answer: '"done"', error: null }])
      expect(await s.store.collectAnswers(['q1'])).toEqual([])
    })

    test('of a run whose version is open are taken by whoever has the workflow', async () => {
      await using s = await scene()
      await s.start({ runId: 'run_a', version: null })
      await s.store.ask({ id: 'q1', runId: 'run_a', name: 'status', payload: null })
      expect(await s.store.takeQueries('w', lanes)).toMatchObject([{ id: 'q1', version: 0 }])
    })
  })

  describe(`${name}: hints`, () => {
    test('of starts, messages and closings reach everybody who listens, until he leaves', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const [one, two] = [await Ear.on(s.store), await Ear.on(s.store)]
      expect([one.connected, two.connected]).toEqual([1, 1])
      await s.start({ runId: 'run_a', queue: 'fast' })
      await s.start({ runId: 'run_b', delayMs: 60_000 })
      for (const ear of [one, two]) {
        await ear.hears('ready', 'fast')
        expect(await ear.hears('later')).toMatchObject({ inMs: 60_000 })
      }
      await s.store.publish([
        { kind: 'message', runIds: ['run_a'] },
        { kind: 'workers', ids: ['w'] },
        { kind: 'query', ids: ['q'] },
        { kind: 'queryAnswered', ids: ['q'] },
      ])
      await one.hears('message', 'run_a')
      await one.hears('workers', 'w')
      await one.hears('query', 'q')
      await one.hears('queryAnswered', 'q')
      await one.end()
      const count = one.heard.length
      await worker.close(await s.held(worker, { runId: 'run_c' }), 'completed')
      await two.hears('closed', 'run_c')
      expect(one.heard).toHaveLength(count)
    })

    test('of a run that has closed come after the commit, with a result that is short', async () => {
      await using s = await scene()
      const worker = await s.worker()
      const ear = await Ear.on(s.store)
      await worker.close(await s.held(worker, { runId: 'run_a' }), 'completed', { payload: '"short"' })
      expect(await ear.hears('closed', 'run_a')).toEqual({
        ...{ kind: 'closed', runIds: ['run_a'], result: { status: 'completed', payload: '"short"' } },
      })
      expect(await s.store.results(['run_a'])).toHaveLength(1)
      const long = JSON.stringify('x'.repeat(5_000))
      await worker.close(await s.held(worker, { runId: 'run_b' }), 'completed', { payload: long })
      expect(await ear.hears('closed', 'run_b')).toEqual({ kind: 'closed', runIds: ['run_b'] })
      const [c, d] = [await s.held(worker, { runId: 'run_c' }), await s.held(worker, { runId: 'run_d' })]
      const terminal = { seq: 2, type: 'RunCompleted', payload: '1', facts: null } as const
      await s.store.change(
        worker.id,
        [c, d].map((run) => changeFor(run, { status: 'completed', terminal })),
      )
      const both = await ear.hears('closed', 'run_c')
      expect(both).toMatchObject({ runIds: expect.arrayContaining(['run_c', 'run_d']) })
      expect(both).not.toHaveProperty('result')
    })
  })

  describe(`${name}: leases`, () => {
    test('a beat tells what there is to do', async () => {
      await using s = await scene()
      const worker = await s.worker({ id: 'worker-b' })
      const idle = {
        suspects: false,
        chores: false,
        queries: false,
        limited: false,
        bulks: false,
        nextDue: null,
        nextSchedule: null,
        overdue: false,
        owned: 0,
        msgs: [],
      }
      const first = await worker.beat()
      expect(first).toEqual({ now: first.now, ready: false, neighbour: null, ...idle })
      expect(first.now).toBe(await s.store.now())
      const others = [await s.worker({ id: 'worker-a' }), await s.worker({ id: 'worker-c' })]
      await s.start({ runId: 'run_x', queue: 'elsewhere' })
      await s.start({ runId: 'run_y', delayMs: 5_000 })
      expect(await worker.beat()).toMatchObject({
        ...{ ready: false, nextDue: (await s.store.now()) + 5_000, neighbour: 'worker-c' },
      })
      // In a ring: the last one watches the first.
      expect((await others[1]!.beat()).neighbour).toBe('worker-a')
      await s.start({ runId: 'run_a' })
      expect(await worker.beat()).toMatchObject({ ready: true, owned: 0 })
      await worker.claimOne()
      await s.post(signal('run_a', 'a'), signal('run_a', 'b'))
      expect(await worker.beat()).toMatchObject({ ready: false, owned: 1, msgs: [{ runId: 'run_a', msgs: 2 }] })
      await s.held(others[0]!, { runId: 'run_b' })
      expect((await worker.beat()).overdue).toBe(false)
      await s.store.unregister('worker-a')
      expect((await worker.beat()).overdue).toBe(true)
      await s.store.takeOver([])
      expect((await worker.beat()).overdue).toBe(false)
    })

    test('a worker that was ended hears of it with its next beat', async () => {
      await using s = await scene()
      const worker = await s.worker({ beatMs: 20 })
      await worker.until(() => worker.beats.length >= 2)
      await s.store.takeOver([worker.id])
      await worker.until(() => worker.fenced)
      expect((await s.store.takeOver([worker.id])).workers).toBe(0)
    })

    test('a worker that beats keeps its lease; one that is held no more is gone, and its neighbour hears of it', async () => {
      await using s = await scene()
      const well = await s.worker({ leaseMs: 60_000, beatMs: 20 })
      const gone = await s.worker({ leaseMs: 60_000, beatMs: 20 })
      await well.until(() => well.beats.at(-1)?.neighbour === gone.id)
      expect(await s.store.goneWorkers()).toEqual([])
      await gone.vanish()
      await well.until(() => well.dead.includes(gone.id))
      expect(await s.store.goneWorkers()).toEqual([gone.id])
      expect((await s.store.takeOver([])).workers).toBe(0)
      expect((await s.store.takeOver(well.dead)).workers).toBe(1)
      expect(await s.store.goneWorkers()).toEqual([])
    })
  })

  describe(`${name}: the clock of a test`, () => {
    test('stands at whole milliseconds, never goes back, and goes on from where it stood', async () => {
      await using s = await scene()
      const start = await s.store.now()
      expect(start).toBe(Math.floor(start))
      expect(await s.store.now()).toBe(start)
      expect(await s.time.stop(start - 1_000)).toBe(start)
      expect(await s.time.stop(start + 500.25)).toBe(start + 501)
      const went = await s.time.go()
      expect(went).toBeGreaterThanOrEqual(start + 501)
      expect(went).toBeLessThan(start + 60_000)
      expect(await s.time.stop(null)).toBeGreaterThanOrEqual(went)
    })

    test('knows whether anything executes and what is due next', async () => {
      await using s = await scene()
      const read = async () => {
        const { busy, next } = await s.time.read(lanes)
        return { busy, next: next?.runId ?? null }
      }
      expect(await read()).toEqual({ busy: false, next: null })
      // Nobody is there who could take it.
      await s.start({ runId: 'run_x', queue: 'elsewhere' })
      await s.start({ runId: 'run_y', delayMs: 9_000 })
      expect(await read()).toEqual({ busy: false, next: 'run_y' })
      const worker = await s.worker()
      await s.start({ runId: 'run_a' })
      expect(await read()).toEqual({ busy: true, next: 'run_y' })
      const run = await worker.claimOne()
      expect(await read()).toMatchObject({ busy: true })
      expect(await s.time.running()).toEqual([{ runId: 'run_a', workflow: 'order' }])
      const due = (await s.store.now()) + 1_000
      await worker.park(run, { due })
      expect(await s.time.read(lanes)).toEqual({
        ...{ now: await s.store.now(), busy: false, next: { runId: 'run_a', workflow: 'order', due }, schedule: null },
      })
      await s.pass(1_000)
      expect((await read()).busy).toBe(true)
      await s.worker({ of: nobody })
      await s.store.wake()
      await worker.claimOne()
      expect(await s.time.running()).toHaveLength(1)
    })
  })
}
