/** Steps: retries, limits, checkpoints, at most once; read from what is recorded. */
import { describe, expect, test } from 'vitest'
import { decideRetry, resolveRetry } from '../../src/core/retry.js'
import {
  type Ctx,
  type HistoryEvent,
  NonRetryableError,
  RetryAfterError,
  StepFailure,
  type StepOptions,
  TimeoutFailure,
  workflow,
} from '../../src/index.js'
import { gate, house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house()

const failed = (history: HistoryEvent[]) => history.filter(({ type }) => type === 'AttemptFailed')
const waits = (history: HistoryEvent[]) =>
  failed(history).map(({ at, data }) => Date.parse(data.dueAt) - new Date(at).getTime())

/** Between the moment of the decision and its commit some time passes, which the recorded wait is shorter by. */
const commitMs = 400
const about = (ms: number, wait: number) => {
  expect(wait).toBeGreaterThan(ms * 0.9 - commitMs)
  expect(wait).toBeLessThanOrEqual(ms * 1.1 + 1)
}

describe('the retry policy', () => {
  test('defaults: 4 attempts, 1 s, doubled, at most 100 times the first, a tenth of jitter', () => {
    const policy = resolveRetry(undefined, 'retry')
    const wait = (attempt: number, random = 0.5) => {
      const decision = decideRetry({ ...policy, maxAttempts: 99 }, attempt, new Error('x'), 0, random)
      return decision.retry ? decision.at : null
    }
    expect(policy.maxAttempts).toBe(4)
    expect([1, 2, 3, 4, 7, 8, 50].map((attempt) => wait(attempt))).toEqual([1e3, 2e3, 4e3, 8e3, 64e3, 1e5, 1e5])
    expect([wait(1, 0), wait(1, 1)]).toEqual([900, 1100])
    expect(resolveRetry({ initialInterval: '2s' }, 'retry').maxMs).toBe(200_000)
    expect(decideRetry(policy, 4, new Error('x'), 0, 0.5)).toEqual({ retry: false })
  })

  test('a first failure is put off by a second, and that parks the run', async () => {
    const flow = workflow('default-retry', (ctx) =>
      ctx.step('once more', ({ attempt }) => {
        if (attempt === 1) throw new Error('not yet')
        return attempt
      }),
    )
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    expect(await run.result()).toBe(2)
    const history = await run.history()
    about(1_000, waits(history)[0]!)
    expect(failed(history)).toMatchObject([
      { name: 'once more', op: 1, data: { attempt: 1, error: { message: 'not yet' } } },
    ])
    const [event] = failed(history)
    const done = history.find(({ type }) => type === 'StepCompleted')!
    expect(done.data.attempt).toBe(2)
    expect(Date.parse(done.data.began)).toBeGreaterThanOrEqual(Date.parse(event!.data.dueAt) - 5)
  })

  test('its numbers are obeyed', async () => {
    const keys = new Set<string>()
    const flow = workflow('numbers', (ctx) =>
      ctx.step(
        'weak',
        { retry: { maxAttempts: 5, initialInterval: 100, backoffCoefficient: 3, maxInterval: 500, jitter: 0 } },
        (step) => {
          keys.add(step.idempotencyKey)
          if (step.attempt < 5) throw new Error(`attempt ${step.attempt}`)
          return step.attempt
        },
      ),
    )
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toBe(5)
    const history = await run.history()
    const recorded = waits(history)
    expect(recorded).toHaveLength(4)
    ;[100, 300, 500, 500].forEach((ms, i) => {
      about(ms, recorded[i]!)
    })
    expect(keys.size).toBe(1)
    expect([...keys][0]).toContain(run.runId)
  })

  test.each<[string, StepOptions, () => unknown, number]>([
    ['retry: false', { retry: false }, () => new Error('no'), 1],
    ['maxAttempts: 1', { retry: { maxAttempts: 1 } }, () => new Error('no'), 1],
    ['NonRetryableError', {}, () => new NonRetryableError('no'), 1],
    ['a subclass of NonRetryableError', {}, () => new (class Worse extends NonRetryableError {})('no'), 1],
    ['nonRetryable by class', { retry: { nonRetryable: [RangeError] } }, () => new RangeError('no'), 1],
    [
      'nonRetryable by name',
      { retry: { nonRetryable: ['Odd'] } },
      () => Object.assign(new Error('no'), { name: 'Odd' }),
      1,
    ],
    [
      'nonRetryable of another class',
      { retry: { nonRetryable: [RangeError], maxAttempts: 2, initialInterval: 1 } },
      () => new TypeError('no'),
      2,
    ],
    ['nothing thrown that is an error', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => undefined, 2],
  ])('%s', async (name, options, thrown, attempts) => {
    let calls = 0
    const flow = workflow(`policy-${name}`, (ctx: Ctx<void>) =>
      ctx.step('it', options, () => {
        calls++
        throw thrown()
      }),
    )
    await work([flow])
    const error = await refusal(stet.execute(flow))
    expect(error).toMatchObject({ name: 'RunFailedError', code: 'run_failed' })
    expect(error.cause).toBeInstanceOf(StepFailure)
    expect(error.cause).toMatchObject({ step: 'it', attempts })
    expect(calls).toBe(attempts)
  })

  test('the policy of the workflow is what its steps fall back to', async () => {
    const flow = workflow('inherit', { retry: { maxAttempts: 2, initialInterval: 1 } }, async (ctx: Ctx<void>) => {
      const counts = [0, 0]
      await ctx.step('plain', () => Promise.reject(new Error(`${++counts[0]!}`))).catch(() => {})
      await ctx
        .step('own', { retry: { maxAttempts: 3 } }, () => Promise.reject(new Error(`${++counts[1]!}`)))
        .catch(() => {})
    })
    await work([flow])
    const run = await stet.start(flow)
    await run.result()
    expect((await run.history()).filter(({ type }) => type === 'StepFailed').map(({ data }) => data.attempt)).toEqual([
      2, 3,
    ])
  })

  test('RetryAfterError: not before, by a duration and by a date', async () => {
    const flow = workflow('after', async (ctx) => {
      await ctx.step('duration', ({ attempt }) => {
        if (attempt === 1) throw new RetryAfterError('busy', { after: 150 })
      })
      await ctx.step('date', ({ attempt }) => {
        if (attempt === 1) throw new RetryAfterError('busy', { after: new Date(Date.now() + 150) })
      })
      await ctx.step('nonsense', { retry: { initialInterval: 1 } }, ({ attempt }) => {
        if (attempt === 1) throw new RetryAfterError('busy', { after: 'soon' as any })
      })
    })
    await work([flow])
    const run = await stet.start(flow)
    await run.result()
    const [first, second, third] = waits(await run.history())
    about(150, first!)
    expect(second).toBeLessThanOrEqual(151)
    expect(second).toBeGreaterThan(-commitMs)
    expect(third).toBeLessThan(10)
    const starts = (await run.history()).filter(({ type }) => type === 'StepCompleted')
    const puts = failed(await run.history())
    starts.forEach(({ data }, i) => {
      expect(Date.parse(data.began)).toBeGreaterThanOrEqual(Date.parse(puts[i]!.data.dueAt) - 5)
    })
  })

  test('a long backoff frees the slot: another run is worked meanwhile by a worker that holds one', async () => {
    const order: string[] = []
    const patient = workflow('patient', (ctx) =>
      ctx.step('later', { retry: { initialInterval: '1h' } }, () => {
        order.push('patient')
        throw new Error('in an hour')
      }),
    )
    const quick = workflow('quick', (ctx) => ctx.step('now', () => order.push('quick')))
    await work([patient, quick], { concurrency: 1 })
    const one = await stet.start(patient)
    await reached(one, 'waiting')
    const two = await stet.start(quick)
    await two.result()
    expect(order).toEqual(['patient', 'quick'])
    about(3_600_000, waits(await one.history())[0]!)
    await one.terminate()
  })
})

describe('limits of time', () => {
  test('timeout: the attempt is aborted, and in the end the failure has a TimeoutFailure for its cause', async () => {
    const reasons: unknown[] = []
    const flow = workflow('timeout', (ctx) =>
      ctx.step('slow', { timeout: 25, retry: { maxAttempts: 2, initialInterval: 1 } }, async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        reasons.push(signal.reason)
        return 'too late to count'
      }),
    )
    await work([flow])
    const error = await refusal(stet.execute(flow))
    expect(error.cause).toMatchObject({ name: 'StepFailure', step: 'slow', attempts: 2 })
    expect(error.cause.cause).toBeInstanceOf(TimeoutFailure)
    expect(error.cause.cause).toMatchObject({ operation: 'slow', message: expect.stringContaining('25 ms') })
    expect(reasons).toHaveLength(2)
    for (const reason of reasons) expect(reason).toBeInstanceOf(TimeoutFailure)
  })

  test('totalTimeout: of all attempts and the waits between them', async () => {
    let calls = 0
    const flow = workflow('total', async (ctx) => {
      const seen: unknown[] = []
      await ctx
        .step('between', { totalTimeout: 120, retry: { maxAttempts: 99, initialInterval: 40, jitter: 0 } }, () => {
          calls++
          throw new Error('again')
        })
        .catch((failure) => seen.push(failure))
      await ctx
        .step(
          'within',
          { totalTimeout: 40 },
          ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
        )
        .catch((failure) => seen.push(failure))
      return seen
    })
    await work([flow])
    const run = await stet.start(flow)
    const [between, within] = (await run.result()) as any[]
    expect(calls).toBeGreaterThanOrEqual(1)
    expect(calls).toBeLessThanOrEqual(3)
    expect(between).toMatchObject({ name: 'StepFailure', attempts: calls })
    expect(within).toMatchObject({
      name: 'StepFailure',
      attempts: 1,
      cause: { name: 'TimeoutFailure', operation: 'within' },
    })
    expect(within.cause.message).toContain('40 ms')
  })

  test('heartbeatTimeout: only an attempt that stays silent is ended', async () => {
    const flow = workflow('beats', async (ctx) => {
      const alive = await ctx.step('alive', { heartbeatTimeout: 150 }, async (step) => {
        for (let i = 0; i < 8; i++) {
          await new Promise((resolve) => setTimeout(resolve, 25))
          step.heartbeat()
        }
        return 'beat'
      })
      const silent = await ctx
        .step('silent', { heartbeatTimeout: 30, retry: false }, () => new Promise(() => {}))
        .catch((failure) => failure)
      return [alive, silent]
    })
    await work([flow])
    const [alive, silent] = (await stet.execute(flow)) as any[]
    expect(alive).toBe('beat')
    expect(silent).toMatchObject({
      name: 'StepFailure',
      cause: { name: 'TimeoutFailure', message: expect.stringContaining('heartbeat') },
    })
  })
})

describe('checkpoints', () => {
  test('are handed to the next attempt, and the last one counts', async () => {
    const seen: unknown[] = []
    const flow = workflow('checkpoint', (ctx) =>
      ctx.step('pages', { retry: { initialInterval: 1 } }, async (step) => {
        seen.push(step.checkpoint)
        const from: number = step.checkpoint?.page ?? 0
        for (let page = from + 1; page <= 6; page++) {
          await step.saveCheckpoint({ page, at: new Date(page) })
          if (page === 2 || page === 4) throw new Error(`after ${page}`)
        }
        return step.checkpoint
      }),
    )
    await work([flow])
    expect(await stet.execute(flow)).toEqual({ page: 6, at: new Date(6) })
    expect(seen).toEqual([undefined, { page: 2, at: new Date(2) }, { page: 4, at: new Date(4) }])
  })

  test('outlive the worker, and so do the key and the count of attempts', async () => {
    const seen: unknown[] = []
    const stuck = gate()
    const flow = workflow('survivor', (ctx) =>
      ctx.step('pages', { retry: { initialInterval: 1 } }, async (step) => {
        seen.push([step.attempt, step.checkpoint, step.idempotencyKey])
        if (step.attempt === 1) throw new Error('once')
        if (step.checkpoint !== undefined) return 'done'
        await step.saveCheckpoint('half')
        stuck.open()
        await new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason)))
      }),
    )
    const worker = await loop([flow])
    const run = await stet.start(flow)
    await stuck.promise
    worker.crash()
    expect(await run.result()).toBe('done')
    const key = (seen[0] as unknown[])[2]
    expect(seen).toEqual([
      [1, undefined, key],
      [2, undefined, key],
      [2, 'half', key],
    ])
  })

  test('what cannot be stored is told at the call; one after the end of the attempt is refused', async () => {
    let leaked: any
    const flow = workflow('bad-checkpoint', (ctx) =>
      ctx.step('it', { retry: false }, async (step) => {
        leaked = step
        await step.saveCheckpoint({ deep: [() => 1] })
      }),
    )
    await work([flow])
    const error = await refusal(stet.execute(flow))
    expect(error.cause.cause).toMatchObject({ name: 'SerializationError', path: '$.deep[0]' })
    expect((await refusal(leaked.saveCheckpoint(1))).code).toBe('attempt_over')
  })
})

describe('atMostOnce', () => {
  test('a crash after it began: it is not run again, and fails', async () => {
    let calls = 0
    const began = gate()
    const flow = workflow('once', async (ctx) => {
      await ctx.step('pay', { mode: 'atMostOnce' }, async ({ signal }) => {
        calls++
        began.open()
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
    })
    const worker = await loop([flow])
    const run = await stet.start(flow)
    await began.promise
    expect(await types(run)).toEqual(['RunStarted', 'StepScheduled'])
    worker.crash()
    const error = await refusal(run.result())
    expect(error.cause).toMatchObject({ name: 'StepFailure', step: 'pay', cause: { code: 'may_have_run' } })
    expect(calls).toBe(1)
  })

  test('an ordinary failure is retried, for it is known that it failed', async () => {
    const flow = workflow('once-retried', (ctx) =>
      ctx.step('pay', { mode: 'atMostOnce', retry: { initialInterval: 1 } }, ({ attempt }) => {
        if (attempt < 3) throw new Error('declined')
        return attempt
      }),
    )
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toBe(3)
    const announced = ['StepScheduled', 'AttemptFailed', 'StepScheduled', 'AttemptFailed', 'StepScheduled']
    expect(await types(run)).toEqual(['RunStarted', ...announced, 'StepCompleted', 'RunCompleted'])
  })
})

describe('bodies', () => {
  test('may be plain functions, give nothing, and use context()', async () => {
    const flow = workflow('bodies', async (ctx) => [
      await ctx.step('sync', () => 5),
      await ctx.step('nothing', () => {}),
      await ctx.step('null', () => null),
      await ctx.step('thenable', () => ({ then: (done: (value: number) => void) => done(7) }) as any),
      await ctx.step('same name', () => 1),
      await ctx.step('same name', () => 2),
    ])
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toEqual([5, undefined, null, 7, 1, 2])
    const history = await run.history()
    expect(history.filter(({ name }) => name === 'same name').map(({ op }) => op)).toEqual([5, 6])
    expect((await run.graph()).nodes.map(({ key }) => key)).toContain('same name#2')
  })

  test('that throw at once, or reject with what is no error, fail the step alone', async () => {
    const flow = workflow('throwers', async (ctx) => {
      const options = { retry: false } as const
      const failures = await Promise.allSettled([
        ctx.step('throws', options, () => {
          throw new Error('at once')
        }),
        ctx.step('null', options, () => Promise.reject(null)),
        ctx.step('getter', options, () => {
          throw Object.defineProperty(new Error('x'), 'message', {
            get() {
              throw new Error('mean')
            },
          })
        }),
        ctx.step('cyclic', options, () => {
          const error: any = new Error('round')
          error.cause = error
          throw error
        }),
        ctx.step('huge', options, () => {
          throw new Error('x'.repeat(10_000_000))
        }),
      ])
      return failures.map(({ status }) => status)
    })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toEqual(Array(5).fill('rejected'))
    const { rows } = await db.query(
      'SELECT max(length(payload)) AS longest FROM stet_store.history WHERE run_id = $1',
      [run.runId],
    )
    expect(rows[0].longest).toBeLessThan(200_000)
  })

  test('at once no more than the worker allows', async () => {
    let [now, most] = [0, 0]
    const flow = workflow('slots', (ctx) =>
      Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          ctx.step(`s${i}`, async () => {
            most = Math.max(most, ++now)
            await new Promise((resolve) => setTimeout(resolve, 5))
            now--
          }),
        ),
      ),
    )
    await work([flow], { concurrency: { steps: 3 } })
    await stet.execute(flow)
    expect(most).toBe(3)
  })
})

describe('options that cannot be used are refused with what, where, expected and got', () => {
  test.each<[string, any, RegExp]>([
    [
      'maxAttempts',
      { retry: { maxAttempts: 0 } },
      /step "bad", retry\.maxAttempts: expected a whole number ≥ 1.*got 0/,
    ],
    ['maxAttempts NaN', { retry: { maxAttempts: Number.NaN } }, /retry\.maxAttempts.*got NaN/],
    ['maxAttempts 1.5', { retry: { maxAttempts: 1.5 } }, /retry\.maxAttempts.*got 1\.5/],
    ['initialInterval', { retry: { initialInterval: -1 } }, /retry\.initialInterval: expected a duration, got -1/],
    [
      'backoffCoefficient',
      { retry: { backoffCoefficient: 0.5 } },
      /retry\.backoffCoefficient: expected a number ≥ 1, got 0\.5/,
    ],
    ['maxInterval', { retry: { maxInterval: 'soon' } }, /retry\.maxInterval.*got 'soon'/],
    ['jitter', { retry: { jitter: 2 } }, /retry\.jitter: expected a number from 0 to 1, got 2/],
    ['timeout', { timeout: 0 }, /timeout: expected at least 1 ms, got 0 ms/],
    ['timeout text', { timeout: '5 minutes' }, /timeout: expected a duration, got '5 minutes'/],
    ['totalTimeout', { totalTimeout: Number.NaN }, /totalTimeout.*got NaN/],
    ['heartbeatTimeout', { heartbeatTimeout: -5 }, /heartbeatTimeout.*got -5/],
    ['mode', { mode: 'exactlyOnce' }, /mode: expected 'atLeastOnce' or 'atMostOnce', got exactlyOnce/],
    ['nonRetryable', { retry: { nonRetryable: 'TypeError' } }, /retry\.nonRetryable: expected a list.*got/],
    ['retry', { retry: 5 }, /retry: expected.*got 5/],
  ])('%s', async (name, options, message) => {
    let ran = false
    const flow = workflow(`bad-${name}`, (ctx: Ctx<void>) =>
      ctx.step('bad', options, () => {
        ran = true
      }),
    )
    await work([flow])
    const { cause } = await refusal(stet.execute(flow))
    expect(cause).toMatchObject({
      name: 'InvalidInputError',
      code: 'invalid_input',
      message: expect.stringMatching(message),
    })
    expect(ran).toBe(false)
  })

  test('the body', async () => {
    const flow = workflow('bad-body', (ctx: Ctx<void>) => ctx.step('bad', undefined as any))
    await work([flow])
    expect((await refusal(stet.execute(flow))).cause.message).toMatch(/step "bad": expected a function/)
  })

  test('those of the workflow, where it is defined', () => {
    for (const [options, message] of [
      [{ version: 0 }, /version: expected a whole number from 1, got 0/],
      [{ queue: '' }, /queue: expected text/],
      [{ priority: 0.5 }, /priority.*got 0\.5/],
      [{ timeout: 'x' }, /timeout: expected a duration, got 'x'/],
      [{ retry: { maxAttempts: -1 } }, /retry\.maxAttempts.*got -1/],
    ] as [any, RegExp][]) {
      expect(() => workflow('bad', options, async () => {})).toThrow(message)
    }
    expect(() => workflow('bad', {} as any)).toThrow(/expected an async function/)
  })
})

test('a worker that stops lets the steps that run finish, and gives the run back', async () => {
  const began = gate()
  const release = gate()
  const flow = workflow('drained', async (ctx) => {
    await ctx.step('long', async () => {
      began.open()
      await release.promise
    })
    return await ctx.step('next', () => 'by another')
  })
  const worker = await work([flow], { drainMs: 20_000 })
  const run = await stet.start(flow)
  await began.promise
  const stopped = worker.stop()
  release.open()
  await stopped
  expect(await types(run)).toContain('StepCompleted')
  await until(async () => (await run.describe()).status === 'pending', 'the run is given back')
  await work([flow])
  expect(await run.result()).toBe('by another')
  expect((await run.history()).filter(({ name, type }) => name === 'long' && type === 'StepCompleted')).toHaveLength(1)
})
