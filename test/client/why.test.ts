/** `handle.why()`: for each way in which a run can stand still or go on, the first true reason. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { explain } from '../../src/client/why.js'
import { type Ctx, NonRetryableError, Stet, signal, update, workflow } from '../../src/index.js'
import { diagnosis } from '../../src/store/postgres/diagnosis.js'
import { prepare, Workers } from '../support/harness.js'
import { gate, house, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house()
const { store } = await stet.internals()

const here = /test\/client\/why\.test\.ts:\d+/
const date = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ'
const ago = `${date} \\([\\d.]+ (ms|s)( \\d+ s)? ago\\)`
const ahead = `${date} \\(in [\\d.]+ [a-z]+( \\d+ [a-z]+)?\\)`
const place = '\\(test/client/why\\.test\\.ts:\\d+\\)'

/** A pattern, with `<ago>`, `<in>` and `<place>` for what changes. */
function sentence(text: string): RegExp {
  const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('<ago>', ago).replaceAll('<in>', ahead).replaceAll('<place>', place)}$`)
}

let names = 0
/** A workflow that no other test has, on a queue of its own. */
function flow<I>(fn: (ctx: Ctx<I>, input: I) => Promise<unknown>, options: object = {}) {
  const name = `why-${++names}`
  return workflow(name, { queue: name, ...options }, fn)
}

describe('waiting', () => {
  test('a signal; with a timeout, until when; signals that nothing takes are named', async () => {
    const plain = flow((ctx: Ctx<void>) => ctx.waitForSignal('approved'))
    const bounded = flow((ctx: Ctx<void>) => ctx.waitForSignal('approved', { timeout: '3h' }))
    await work([plain, bounded], { queues: [plain.name, bounded.name] })
    const [run, other] = await Promise.all([stet.start(plain), stet.start(bounded)])
    await reached(run, 'waiting')
    await reached(other, 'waiting')
    const reason = await run.why()
    expect(reason.code).toBe('waiting_signal')
    expect(reason.message).toMatch(sentence('waits for signal "approved" <place> since <ago>'))
    expect(reason.evidence).toMatchObject({
      runId: run.runId,
      status: 'waiting',
      operations: [{ op: 1, kind: 'signal', name: 'approved', where: expect.stringMatching(here) }],
    })
    expect((await other.why()).message).toMatch(sentence('waits for signal "approved" <place> since <ago>, until <in>'))
    await run.signal('aproved', 1)
    const misspelt = await until(async () => {
      const found = await run.why()
      return found.message.includes('aproved') && found
    }, 'the other signal is told of')
    expect(misspelt.message).toMatch(/; its inbox holds other signals that nothing has taken: "aproved"$/)
  })

  test('a timer; a condition; both bounded by a scope', async () => {
    const sleeper = flow((ctx: Ctx<void>) => ctx.sleep('2d'))
    const hoping = flow((ctx: Ctx<void>) => {
      ctx.onSignal('news', () => {})
      return ctx.condition(() => false)
    })
    const limited = flow((ctx: Ctx<void>) => ctx.condition(() => false, { timeout: '1h' }))
    const scoped = flow((ctx: Ctx<void>) => ctx.scope({ timeout: '1h' }, (inner) => inner.waitForSignal('go')))
    const all = [sleeper, hoping, limited, scoped]
    await work(all, { queues: all.map(({ name }) => name) })
    const [a, b, c, d] = await Promise.all(all.map((each) => stet.start(each)))
    for (const run of [a!, b!, c!, d!]) await reached(run, 'waiting')
    const timer = await a!.why()
    expect(timer).toMatchObject({ code: 'waiting_timer', evidence: { operations: [{ kind: 'timer', name: 'sleep' }] } })
    expect(timer.message).toMatch(sentence('waits for the timer "sleep" <place> until <in>'))
    const condition = await b!.why()
    expect(condition.code).toBe('waiting_condition')
    expect(condition.message).toMatch(
      sentence('waits for a condition (ctx.condition) since <ago>; it is looked at whenever an event comes'),
    )
    expect(await c!.why()).toMatchObject({
      code: 'waiting_condition',
      message: expect.stringMatching(/, at most until .*\(in (1 h|59 m)/),
    })
    const scope = await d!.why()
    expect(scope.code).toBe('waiting_signal')
    expect(scope.message).toMatch(sentence('waits for signal "go" <place> since <ago>, at most until <in>'))
  })

  test('several, what fails first, then what others have to do, then time; not all when they are many', async () => {
    const child = flow((ctx: Ctx<void>) => ctx.waitForSignal('never'))
    const many = flow((ctx: Ctx<number>, n: number) =>
      Promise.all([
        ctx.sleep('2d'),
        ctx.waitForSignal('approved'),
        ctx.child(child),
        ctx.step('charge', { retry: { initialInterval: '1h' } }, () => {
          throw new RangeError('card\ndeclined')
        }),
        ...Array.from({ length: n }, (_, i) => ctx.waitForSignal(`more ${i}`)),
      ]),
    )
    await work([child, many], { queues: [child.name, many.name] })
    const [run, larger] = await Promise.all([stet.start(many, 0), stet.start(many, 9)])
    for (const each of [run, larger]) await reached(each, 'waiting')
    const reason = await until(async () => {
      const found = await run.why()
      return found.message.includes('which itself is waiting_signal') && found
    }, 'the child waits')
    expect(reason.code).toBe('waiting_many')
    expect(reason.message).toMatch(
      /^waits for 4 operations: attempt 2.* of step "charge" .*RangeError: card declined; child /,
    )
    expect((reason.evidence.operations as any[]).map(({ kind }) => kind)).toEqual(['step', 'child', 'signal', 'timer'])
    const more = await larger.why()
    expect(more.message).toMatch(/^waits for 13 operations: .*; and 8 more$/)
    expect(more.evidence.operations).toHaveLength(13)
  })

  test('a child, with its own reason one level deep', async () => {
    const grandchild = flow((ctx: Ctx<void>) => ctx.sleep('1d'))
    const child = flow((ctx: Ctx<void>) => ctx.child(grandchild, undefined, { id: 'grandchild-1' }))
    const parent = flow((ctx: Ctx<void>) => ctx.child(child, undefined, { id: 'order-42-mail' }))
    await work([grandchild, child, parent], { queues: [grandchild.name, child.name, parent.name] })
    const run = await stet.start(parent)
    await reached(run, 'waiting')
    const reason = await until(async () => {
      const found = await run.why()
      return found.message.includes('waiting_child') && !found.message.includes('holds it') && found
    }, 'the child waits, and nobody holds either')
    const runId = /^run_\w+$/.source.slice(1, -1)
    expect(reason.code).toBe('waiting_child')
    expect(reason.message).toMatch(
      new RegExp(
        `^waits for child order-42-mail \\(run ${runId}\\) ${place} since ${ago}, which itself is waiting_child: waits for child grandchild-1 \\(run ${runId}\\) ${place} since ${ago}$`,
      ),
    )
    expect(reason.evidence.child).toMatchObject({ code: 'waiting_child', evidence: { id: 'order-42-mail' } })
  })

  test('the next attempt of a step: which one, when, and what the last failed with', async () => {
    const charging = flow((ctx: Ctx<void>) =>
      ctx.step('charge', { retry: { maxAttempts: 5, initialInterval: '1h', jitter: 0 } }, () => {
        throw new RangeError('card declined')
      }),
    )
    await work([charging], { queues: [charging.name] })
    const run = await stet.start(charging)
    await reached(run, 'waiting')
    const reason = await run.why()
    expect(reason.code).toBe('retrying')
    expect(reason.message).toMatch(
      /^waits for attempt 2( of 5)? of step "charge" .* at .*\(in (1 h|59 m.*)\), after RangeError: card declined$/,
    )
    expect(reason.evidence.operations).toMatchObject([
      { attempt: 2, error: { name: 'RangeError', message: 'card declined' }, where: expect.stringMatching(here) },
    ])
  })

  test('and who would go on with it is not there: that is said too', async () => {
    const sleeper = flow((ctx: Ctx<void>) => ctx.sleep('2d'))
    const worker = await work([sleeper], { queues: [sleeper.name] })
    const run = await stet.start(sleeper)
    await reached(run, 'waiting')
    await worker.stop()
    expect((await run.why()).message).toMatch(/until .*; then no worker is live$/)
  })
})

describe('ready', () => {
  test('no worker at all, none on its queue, none with its workflow, none with its version', async () => {
    const one = flow(async (_: Ctx<void>) => 1)
    const two = workflow(one.name, { version: 2, queue: one.name }, async () => 2)
    const other = flow(async (_: Ctx<void>) => 1)
    const run = await stet.start(two)
    expect(await run.why()).toMatchObject({
      code: 'no_worker',
      message: expect.stringMatching(sentence('ready since <ago>, and no worker is live')),
    })
    const elsewhere = await work([two], { queues: [other.name] })
    expect(await run.why()).toMatchObject({
      code: 'no_worker_queue',
      message: expect.stringMatching(
        sentence(
          `ready since <ago>, and no live worker listens on queue "${one.name}" (live workers listen on "${other.name}")`,
        ),
      ),
    })
    await work([other], { queues: [one.name] })
    expect(await run.why()).toMatchObject({
      code: 'no_worker_workflow',
      message: expect.stringContaining(
        `no live worker of queue "${one.name}" has workflow "${one.name}"; workers of other queues have ${one.name}@2 on queue "${other.name}"`,
      ),
    })
    await elsewhere.stop()
    await work([one], { queues: [one.name] })
    expect(await run.why()).toMatchObject({
      code: 'no_worker_version',
      message: expect.stringMatching(/no live worker has (\S+)@2 \(live workers have \1@1\)$/),
      evidence: { versions: [1], listening: 2 },
    })
  })

  test('its turn has not come: how many are ahead, by priority and age, and that the worker is full', async () => {
    const busy = gate()
    const lane = flow((ctx: Ctx<string>, what: string) =>
      ctx.step('work', () => (what === 'busy' ? busy.promise : undefined)),
    )
    onTestFinished(() => busy.open())
    const long = await stet.start(lane, 'busy')
    await work([lane], { queues: [lane.name], concurrency: { runs: 1 } })
    await reached(long, 'running')
    const old = await Promise.all(Array.from({ length: 3 }, () => stet.start(lane, 'x')))
    const last = await stet.start(lane, 'x')
    const urgent = await stet.start(lane, 'x', { priority: 5 })
    expect(
      await until(async () => {
        const found = await last.why()
        return found.message.includes('full') && found
      }, 'the worker counts as full'),
    ).toMatchObject({
      code: 'queued',
      message: expect.stringMatching(
        sentence(`ready since <ago>, 4 runs ahead of it in queue "${lane.name}"; 1 worker is full (1 run held)`),
      ),
      evidence: { ahead: 4, workers: [{ runs: 1 }] },
    })
    expect((await urgent.why()).evidence.ahead).toBe(0)
    expect((await old[0]!.why()).evidence.ahead).toBe(1)
  })

  test('a delayed start', async () => {
    const later = flow(async (_: Ctx<void>) => 1)
    const run = await stet.start(later, undefined, { delay: '3h' })
    expect(await run.why()).toMatchObject({
      code: 'delayed',
      message: expect.stringMatching(sentence('delayed start: not before <in>; then no worker is live')),
    })
    await work([later], { queues: [later.name] })
    expect((await run.why()).message).toMatch(sentence('delayed start: not before <in>'))
  })
})

describe('owned', () => {
  test('a step in its first attempt, a later one, and several', async () => {
    const open = gate()
    onTestFinished(() => open.open())
    const steps = flow((ctx: Ctx<number>, n: number) =>
      Promise.all(
        Array.from({ length: n }, (_, i) =>
          ctx.step(`part ${i}`, { retry: { initialInterval: 1 } }, ({ attempt }) => {
            if (n === 1 && attempt === 1) throw new TypeError('once')
            return open.promise
          }),
        ),
      ),
    )
    const { workerId } = (await loop([steps], { queues: [steps.name] })) as unknown as { workerId?: string }
    const [one, three] = await Promise.all([stet.start(steps, 1), stet.start(steps, 7)])
    const second = await until(async () => {
      const found = await one.why()
      return found.message.includes('attempt 2') && found.code === 'executing' && found
    }, 'the second attempt runs')
    expect(second.message).toMatch(
      new RegExp(`^owner \\S+ executes step "part 0" ${place} \\(attempt 2\\) since ${ago}, after TypeError: once$`),
    )
    expect(second.evidence).toMatchObject({ owner: { pid: process.pid }, operations: [{ name: 'part 0', attempt: 2 }] })
    if (workerId !== undefined) expect((second.evidence.owner as any).id).toBe(workerId)
    const several = await until(async () => {
      const found = await three.why()
      return (found.evidence.operations as any[])?.length === 7 && found
    }, 'all parts are on record')
    expect(several.message).toMatch(/^owner \S+ executes 7 steps: step "part 0" .*; and 2 more$/)
  })

  test('an update that is being answered and a cancellation that was asked for are in the evidence', async () => {
    const open = gate()
    onTestFinished(() => open.open())
    const asked = update<number, number>('ask')
    const host = flow(async (ctx: Ctx<void>) => {
      ctx.onUpdate(asked, (n) => ctx.shield((inner) => inner.step('answer', () => open.promise.then(() => n))))
      await ctx.shield((inner) => inner.waitForSignal(signal('end')))
    })
    await work([host], { queues: [host.name] })
    const run = await stet.start(host)
    await reached(run, 'waiting')
    const answer = run.update(asked, 4)
    await until(async () => (await run.why()).code === 'executing', 'the handler executes')
    await run.cancel('enough')
    const reason = await until(async () => {
      const found = await run.why()
      return found.evidence.cancelRequestedAt !== undefined && found
    }, 'the cancellation is on record')
    expect(reason).toMatchObject({
      code: 'executing',
      message: expect.stringContaining('step "answer"'),
      evidence: { updatesInProgress: ['ask'] },
    })
    open.open()
    expect(await answer).toBe(4)
  })

  test('what it waits for is near, so its owner holds it', async () => {
    const napping = flow((ctx: Ctx<void>) => ctx.sleep('20s'))
    await work([napping], { queues: [napping.name], holdMs: 60_000 })
    const run = await stet.start(napping)
    const reason = await until(async () => {
      const found = await run.why()
      return found.code === 'waiting_timer' && found
    }, 'the timer is on record')
    expect(reason.message).toMatch(/^waits for the timer "sleep" .*\(in \d\d(\.\d)? s\); owner \S+ holds it meanwhile$/)
  })

  test('an owner that is no more', async () => {
    const run = await stet.start(flow((ctx: Ctx<void>) => ctx.step('work', () => 1)))
    await db.query(`UPDATE stet_store.runs SET status = 'running', owner = 'w-17', claim = 1 WHERE run_id = $1`, [
      run.runId,
    ])
    expect(await run.why()).toMatchObject({
      code: 'owner_gone',
      message: expect.stringMatching(
        /^owner w-17 is no more, last progress .* ago; no live worker is there to take the run over$/,
      ),
    })
    await db.query(
      `UPDATE stet_store.runs SET status = 'terminated', owner = NULL, closed_at = now() WHERE run_id = $1`,
      [run.runId],
    )
  })

  test.each([
    [
      'stopped',
      'SIGSTOP' as const,
      /: its event loop is blocked, or its process is stopped or cut off from the database; it executed step "unit"/,
    ],
    ['killed', 'SIGKILL' as const, /: its process is gone; it executed step "unit"/],
  ])('the process of its owner was %s', async (_, how, cause) => {
    await prepare(db.url)
    const workers = new Workers({ url: db.url, worker: { leaseMs: 60_000, beatMs: 200 } })
    onTestFinished(() => workers.end())
    const [worker] = await workers.spawnReady(1)
    const run = await stet.start('work', { steps: 1, stepMs: 600_000 } as never)
    await until(async () => (await run.why()).code === 'executing', 'it executes')
    await worker!.kill(how)
    if (how === 'SIGSTOP') {
      // Half a lease without a sign of life, without having to wait for it.
      await db.query(
        `UPDATE stet_store.workers SET beat_at = beat_at - interval '40 s', expires_at = expires_at - interval '40 s'`,
      )
    }
    const reason = await until(async () => {
      const found = await run.why()
      return found.code === 'owner_silent' && found
    }, 'the silence is seen')
    expect(reason.message).toMatch(/^owner \S+ \(\S+:\d+\), last progress .* ago, last sign of life .* ago: /)
    expect(reason.message).toMatch(cause)
    expect(reason.message).toMatch(/; no other worker is live to take the run over$/)
    expect(reason.evidence).toMatchObject({
      owner: { pid: worker!.child.pid },
      processGone: how === 'SIGKILL',
      otherWorkers: 0,
    })
    await worker!.kill('SIGKILL')
    await db.query('DELETE FROM stet_store.workers WHERE pid = $1', [worker!.child.pid])
  })
})

describe('blocked, paused', () => {
  test('code that does not fit: the lines of both, and the remedies', async () => {
    const before = flow(async (ctx: Ctx<void>) => {
      await ctx.step('check', () => 1)
      await ctx.waitForSignal('go')
    })
    const changed = workflow(before.name, { queue: before.name }, async (ctx: Ctx<void>) => {
      await ctx.step('verify', () => 1)
      await ctx.waitForSignal('go')
    })
    const worker = await work([before], { queues: [before.name] })
    const run = await stet.start(before)
    await reached(run, 'waiting')
    await worker.stop()
    await work([changed], { queues: [before.name] })
    await run.signal('go')
    await reached(run, 'blocked')
    const reason = await run.why()
    expect(reason.code).toBe('blocked')
    expect(reason.message).toMatch(
      /^blocked: the code does not fit the history at event 2 \(StepCompleted\)\. expected: operation 1: step "check"/,
    )
    expect(reason.message).toMatch(
      /; got: operation 1: step "verify", at test\/client\/why\.test\.ts:\d+\. Keep the old code under its version/,
    )
    expect(reason.message).not.toContain('\n')
    expect(reason.evidence).toMatchObject({
      problem: 'nondeterminism',
      where: expect.stringMatching(here),
      mismatch: { seq: expect.any(Number) },
    })
  })

  test('quarantined, and under suspicion before that', async () => {
    const poison = flow((ctx: Ctx<void>) => ctx.step('one', () => 1))
    const run = await stet.start(poison)
    const lanes = { queues: [poison.name], workflows: [{ name: poison.name, version: 1 }] }
    const crash = async (n: number) => {
      const id = `crashing-${n}`
      await db.query(
        `INSERT INTO stet_store.workers (id, expires_at) VALUES ('${id}', clock_timestamp() + interval '1 minute')`,
      )
      await db.query('UPDATE stet_store.runs SET due = created_at WHERE run_id = $1', [run.runId])
      expect(await store.claim(id, lanes, 1, { suspects: n > 2, aged: false })).toHaveLength(1)
      await store.takeOver([id])
    }
    for (const n of [1, 2, 3]) await crash(n)
    expect(await run.why()).toMatchObject({
      code: 'suspect',
      message: expect.stringMatching(
        /^the process of its worker ended 3 times in a row while it ran; it is tried again, alone, at .*\(in \d/,
      ),
    })
    for (const n of [4, 5]) await crash(n)
    expect(await run.why()).toMatchObject({
      code: 'quarantined',
      message: expect.stringMatching(/^quarantined after 5 crashes: .*stet resume run_/),
      evidence: { problem: 'crash_loop', crashes: 5 },
    })
  })

  test('paused', async () => {
    const any = flow(async (_: Ctx<void>) => 1)
    const run = await stet.start(any)
    await db.query(`UPDATE stet_store.runs SET status = 'paused' WHERE run_id = $1`, [run.runId])
    expect(await run.why()).toMatchObject({ code: 'paused', message: expect.stringMatching(/^paused/) })
  })
})

describe('closed', () => {
  const ends = flow(async (ctx: Ctx<string>, how: string): Promise<unknown> => {
    if (how === 'charge') {
      return ctx.step('charge', { retry: { maxAttempts: 3, initialInterval: 1 } }, () => {
        throw new RangeError('declined')
      })
    }
    if (how === 'throw') throw new NonRetryableError('no')
    if (how === 'wait') return ctx.waitForSignal('never')
    if (how === 'again') return ctx.continueAsNew('done')
    return how
  })
  const end = async (how: string) => {
    const run = await stet.start(ends, how)
    await until(async () => (await run.describe()).closedAt !== undefined, 'it closed')
    return run
  }

  test('completed, continued, failed by a step or by itself', async () => {
    await work([ends], { queues: [ends.name] })
    expect(await (await end('done')).why()).toMatchObject({
      code: 'completed',
      message: expect.stringMatching(new RegExp(`^completed at ${ago}, after [\\d.]+ (ms|s)$`)),
    })
    const again = await stet.start(ends, 'again', { id: 'again-1' })
    await again.result()
    const continued = await again.why()
    expect(continued).toMatchObject({ code: 'continued', evidence: { status: 'continued' } })
    expect(continued.message).toBe(continued.message.replace(/run_\w+/, String(continued.evidence.successor)))
    const failed = await (await end('charge')).why()
    expect(failed.code).toBe('failed')
    expect(failed.message).toMatch(
      new RegExp(
        `^failed at ${ago}, after .*: step "charge" ${place} failed for good after 3 attempts, the last with RangeError: declined$`,
      ),
    )
    expect(failed.evidence).toMatchObject({ step: 'charge', attempts: 3, where: expect.stringMatching(here) })
    expect((await (await end('throw')).why()).message).toMatch(/: NonRetryableError: no$/)
  })

  test('cancelled, before it began too, and terminated, each with its reason', async () => {
    const worker = await work([ends], { queues: [ends.name] })
    const cancelled = await stet.start(ends, 'wait')
    await reached(cancelled, 'waiting')
    await cancelled.cancel('customer left')
    await reached(cancelled, 'cancelled')
    expect(await cancelled.why()).toMatchObject({
      code: 'cancelled',
      message: expect.stringMatching(/^cancelled at .*: customer left$/),
      evidence: { reason: 'customer left' },
    })
    const terminated = await stet.start(ends, 'wait')
    await reached(terminated, 'waiting')
    await terminated.terminate('by hand')
    expect(await terminated.why()).toMatchObject({
      code: 'terminated',
      message: expect.stringMatching(/^terminated at .*, without its cleanup: by hand$/),
    })
    await worker.stop()
    const never = await stet.start(ends, 'wait')
    await never.cancel()
    expect((await never.why()).message).toMatch(/^cancelled at .*, before it began$/)
  })
})

test('an id that does not exist', async () => {
  await expect(stet.run('nobody').why()).rejects.toMatchObject({ code: 'run_not_found' })
})

test('by its id the latest run is meant, and payloads that are coded are read', async () => {
  const codec = {
    encode: (bytes: Uint8Array) => bytes.map((byte) => byte ^ 1),
    decode: (bytes: Uint8Array) => bytes.map((byte) => byte ^ 1),
  }
  const secret = new Stet({ url: db.url, codec })
  onTestFinished(() => secret.close())
  const failing = flow(async (_: Ctx<void>) => {
    throw new Error('a secret')
  })
  const worker = secret.worker({ workflows: [failing], queues: [failing.name] })
  await worker.start()
  await secret.start(failing, undefined, { id: 'secret-1' }).then((run) => run.result().catch(() => {}))
  expect(await secret.run('secret-1').why()).toMatchObject({
    code: 'failed',
    message: expect.stringMatching(/a secret$/),
  })
})

describe('what it costs', () => {
  test('beside 100,000 queued runs nothing is read from end to end, and a long queue is counted up to a limit', async () => {
    const lane = flow(async (_: Ctx<void>) => 1)
    const first = await stet.start(lane)
    await db.query(
      `INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, due, created_at)
       SELECT 'run_bulk' || i, 'run_bulk' || i, $1, 1, $1, 'pending', t, t
         FROM (SELECT i, clock_timestamp() AS t FROM generate_series(1, 100000) i) x`,
      [lane.name],
    )
    await db.query(
      `INSERT INTO stet_store.history (run_id, seq, type, op, at) SELECT run_id, 1, 'RunStarted', 0, created_at FROM stet_store.runs WHERE run_id LIKE 'run_bulk%'`,
    )
    await db.query('ANALYZE stet_store.runs, stet_store.history')
    const last = await stet.start(lane)
    // A worker that never takes anything, so that there is a queue.
    await db.query(
      `INSERT INTO stet_store.workers (id, expires_at, queues, workflows, versions)
       VALUES ('idle', clock_timestamp() + interval '10 minutes', ARRAY[$1], ARRAY[$1], ARRAY[1])`,
      [lane.name],
    )
    onTestFinished(async () => void (await db.query(`DELETE FROM stet_store.workers WHERE id = 'idle'`)))
    expect(await last.why()).toMatchObject({
      code: 'queued',
      message: expect.stringContaining(
        `more than 1,000 runs ahead of it in queue "${lane.name}"; 1 worker can take it`,
      ),
    })
    expect((await first.why()).evidence.ahead).toBe(0)
    for (const { runId } of [first, last]) {
      const values = [runId, 1001, 20]
      const { rows } = await db.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${diagnosis}`, values)
      const scans = nodesOf(rows[0]['QUERY PLAN'][0].Plan).filter((node) =>
        /^(runs|history)$/.test(node['Relation Name']),
      )
      expect(scans.length).toBeGreaterThan(3)
      expect(scans.filter((node) => node['Node Type'] === 'Seq Scan')).toEqual([])
      for (const node of scans) {
        expect((node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']).toBeLessThan(2_500)
      }
    }
    // The other two statements that it takes.
    for (const text of [
      `SELECT * FROM stet_store.runs r WHERE r.run_id = stet_store.find_run('${last.runId}')`,
      `SELECT * FROM stet_store.history h WHERE h.run_id = '${last.runId}' AND h.seq > 0 ORDER BY h.seq LIMIT 5000`,
    ]) {
      const { rows } = await db.query(`EXPLAIN (FORMAT JSON) ${text}`)
      expect(nodesOf(rows[0]['QUERY PLAN'][0].Plan).map((node) => node['Node Type'])).not.toContain('Seq Scan')
    }
  })
})

function nodesOf(plan: any): any[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

test('a step says how many attempts it has, where the run has left that behind', () => {
  const run = {
    id: 'a',
    runId: 'a',
    workflow: 'w',
    version: 1,
    queue: 'q',
    priority: 0,
    status: 'waiting' as const,
    owner: null,
    claim: 1,
    due: null,
    createdAt: 0,
    startedAt: 0,
    closedAt: null,
    deadline: null,
    waits: null,
    problem: null,
    error: null,
    attributes: null,
    parent: null,
    historyLength: 1,
  }
  const workers = { live: 1, listening: 1, queues: ['q'], versions: [1], elsewhere: [], ableCount: 1, able: [] }
  const diagnosis = {
    run,
    now: 5_000,
    crashes: 0,
    owner: null,
    workers,
    ahead: 0,
    unseen: false,
    unread: [],
    gates: [],
    queries: 0,
  }
  const open = {
    op: 1,
    kind: 'step' as const,
    name: 'charge',
    where: null,
    since: 0,
    dueAt: 65_000,
    failed: 3,
    maxAttempts: 5,
    error: null,
    child: null,
    seq: 2,
  }
  expect(explain({ diagnosis, events: [], open: [open] }, null)).toMatchObject({
    code: 'retrying',
    message: 'waits for attempt 4 of 5 of step "charge" at 1970-01-01T00:01:05Z (in 1 m)',
  })
})
