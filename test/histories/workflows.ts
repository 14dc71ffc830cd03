/**
 * Workflows that say everything that a workflow can say. Their histories are kept and replayed for ever, so what is here
 * is never changed: new things get a workflow of their own, or a new version of one.
 */
import { type Ctx, type Dag, dag, NonRetryableError, query, signal, update, workflow } from 'stet'

export const word = signal<string>('word')
export const go = signal('go')
export const hear = update<string, string>('hear')
export const fail = update<void, string>('fail')
export const heard = query<string[]>('heard')

/** Values of every kind, failures with causes, attempts, modes, transactions. */
export const steps = workflow('steps', async (ctx, input: { at: Date; tags: Set<string> }) => {
  const rich = await ctx.step('rich', () => ({
    map: new Map([['one', 1n]]),
    at: input.at,
    none: undefined,
    nan: Number.NaN,
    bytes: new Uint8Array([1, 2, 3]),
    text: 'a\u0000b \ud800',
  }))
  const flaky = await ctx.step('flaky', { retry: { initialInterval: '1h', jitter: 0 } }, (step) => {
    if (step.attempt < 3) throw new RangeError(`attempt ${step.attempt}`, { cause: new Error('busy') })
    return step.attempt
  })
  const once = await ctx.step('once', { mode: 'atMostOnce' }, () => 'once')
  const saved = await ctx.step('saves', { retry: { initialInterval: '1s', jitter: 0 } }, async (step) => {
    if (step.checkpoint !== undefined) return step.checkpoint
    await step.saveCheckpoint('half of it')
    throw new Error('cut off')
  })
  const paid = await ctx.transaction('pay', async () => ({ paid: true }))
  const failure = await ctx
    .step('fails', { retry: false }, () => Promise.reject(new NonRetryableError('stolen', { cause: new Error('why') })))
    .catch((error) => `${error.name}: ${error.cause.message}, for ${error.cause.cause.message}`)
  const settled = await Promise.allSettled([
    ctx.step('good', async () => 1),
    ctx.step('bad', { retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('bad'))),
  ])
  const first = await Promise.race([ctx.step('a', async () => 'a'), ctx.step('b', async () => 'b')])
  const any = await Promise.any([ctx.step('c', async () => 'c'), ctx.step('d', async () => 'd')])
  return {
    ...{ rich, flaky, once, saved, paid, failure, first, any, tags: input.tags },
    settled: settled.map(({ status }) => status),
    time: [ctx.now(), Date.now(), new Date().toISOString()],
    random: [ctx.random(), Math.random(), ctx.uuid(), crypto.randomUUID()],
  }
})

/** Timers and waits that come to their end in each way. */
export const waits = workflow('waits', async (ctx: Ctx<void>) => {
  await ctx.sleep('1d')
  await ctx.sleepUntil(new Date(ctx.now() + 60_000))
  const ticks: number[] = []
  await new Promise<void>((resolve) => {
    const ticking = setInterval(() => ticks.push(Date.now()), 1_000)
    setTimeout(() => {
      clearInterval(ticking)
      resolve()
    }, 3_500)
  })
  const never = setTimeout(() => ticks.push(0), 1_000)
  clearTimeout(never)
  const late = await ctx.waitForSignal(word, { timeout: '1h', default: 'nobody' })
  const error = await ctx.waitForSignal(word, { timeout: '1h' }).catch((e) => e.name)
  const inTime = await ctx.waitForSignal(word, { timeout: '1d' })
  const condition = await ctx.condition(() => false, { timeout: '1m' })
  const winner = await Promise.race([ctx.waitForSignal(word), ctx.sleep('1d').then(() => 'time')])
  const stream: string[] = []
  for await (const each of ctx.signals(word)) {
    stream.push(each)
    if (stream.length === 2) break
  }
  return { ticks: ticks.length, late, error, inTime, condition, winner, stream }
})

/** Handlers of messages; what takes no number. */
export const messages = workflow('messages', async (ctx: Ctx<void>) => {
  const words: string[] = []
  let done = false
  ctx.setAttributes({ customer: 'ada', level: 1, since: new Date(0) })
  ctx.onSignal(word, async (each) => {
    words.push(await ctx.step('keep', async () => each))
  })
  ctx.onSignal(go, () => {
    done = true
  })
  ctx.onQuery(heard, () => words)
  ctx.onUpdate(
    hear,
    {
      validate: (each) => {
        if (each === 'no') throw new RangeError('not that')
      },
    },
    async (each) => {
      words.push(await ctx.step('note', async () => each.toUpperCase()))
      ctx.setAttributes({ level: words.length })
      return `heard ${each}`
    },
  )
  ctx.onUpdate(fail, async (why) => {
    throw new Error(why)
  })
  const patched = ctx.patched('louder')
  ctx.deprecatePatch('old')
  await ctx.condition(() => done)
  await ctx.condition(() => ctx.allHandlersFinished())
  return { words: words.sort(), patched }
})

/** What a member of a family does. */
export const member = workflow('member', async (ctx, what: 'work' | 'fail' | 'wait' | 'listen') => {
  if (what === 'fail') throw new RangeError('a child failed')
  if (what === 'wait') await ctx.sleep('30d')
  if (what === 'listen') return ctx.waitForSignal(word)
  return ctx.step('work', async () => `${what} of a child`)
})

/** Children, and messages between runs. */
export const family = workflow('family', async (ctx: Ctx<void>) => {
  const done = await ctx.child(member, 'work', { attributes: { role: 'worker' } })
  const failed = await ctx.child(member, 'fail').catch((error) => `${error.name}: ${error.cause.message}`)
  const handle = await ctx.startChild(member, 'listen', { id: 'the listener' })
  await handle.signal(word, 'to a child')
  const said = await handle.result()
  const stopped = await ctx.startChild(member, 'wait', { id: 'the stopped' })
  await stopped.cancel('enough')
  const cancelled = await stopped.result().catch((error) => error.name)
  const taken = await ctx.startChild(member, 'wait', { id: 'the taken', parentClosePolicy: 'terminate' })
  const conflict = await ctx.child(member, 'work', { id: 'the taken' }).catch((error) => error.cause.name)
  await ctx.signalWithStart(member, 'listen', word, 'to another', { id: 'another' })
  const nobody = await ctx
    .handle('nobody')
    .signal(word, '?')
    .catch((error) => error.name)
  return { done, failed, said, cancelled, taken: taken.id, conflict, nobody }
})

/** Scopes, shields, and what is undone. */
export const scopes = workflow('scopes', async (ctx: Ctx<void>) => {
  const order: string[] = []
  ctx.compensate('undo first', async () => {})
  await ctx.step('first', async () => 1)
  const late = await ctx
    .scope({ timeout: '1m' }, async (ctx) => {
      await ctx.sleep('1h')
    })
    .catch((error) => error.name)
  const scope = ctx.scope(async (ctx) => {
    try {
      await Promise.all([ctx.sleep('1h'), ctx.waitForSignal(word, { timeout: '1h' }), ctx.child(member, 'wait')])
    } finally {
      await ctx.shield(async (ctx) => order.push(await ctx.step('clean up', async () => 'cleaned')))
    }
  })
  await ctx.sleep('1s')
  scope.cancel('not needed')
  const cut = await scope.catch((error) => error.name)
  order.push(await ctx.step('tell', async () => `${late} ${cut}`))
  ctx.compensate('undo second', { retry: false }, () => Promise.reject(new Error('cannot be undone')))
  await ctx.waitForSignal(go)
})

export const maps = workflow('maps', async (ctx, items: number[]) => {
  const fn = (n: number) =>
    ctx.step('item', { retry: false }, async () => {
      if (n < 0) throw new RangeError(`${n} is negative`)
      return n * n
    })
  const all = await ctx.map(
    'all',
    items.filter((n) => n >= 0),
    { concurrency: 2 },
    fn,
  )
  const some = await ctx.map('some', items, { concurrency: 2, toleratedFailures: 2 }, fn)
  const enough = await ctx.map('enough', items, { concurrency: 1, minSuccessful: 2 }, fn)
  return {
    all,
    some: { values: some.values, failures: some.failures.map(({ index }) => index), reason: some.reason },
    enough: { values: enough.values, notStarted: enough.notStarted, reason: enough.reason },
  }
})

/** Rounds that hand on what they have not read. */
export const rounds = workflow('rounds', async (ctx: Ctx<{ round: number; words: string[] }>, { round, words }) => {
  const next = await ctx.waitForSignal(word)
  if (round < 3) return ctx.continueAsNew({ round: round + 1, words: [...words, next] })
  return [...words, next]
})

export const shape = dag('shape', (d: Dag<number>) => {
  const root = d.task('root', async (n) => n)
  const left = d.task('left', { dependsOn: [root] }, async (_, [n]) => n + 1)
  const broken = d.task('broken', { dependsOn: [root], critical: false, retry: false }, async (): Promise<number> => {
    throw new Error('broken')
  })
  const skipped = d.task('skipped', { dependsOn: [broken], critical: false }, async (_, [n]) => n)
  const always = d.task('always', { dependsOn: [left, broken], when: 'closed' }, async () => 'always')
  return { left, skipped, always }
})

/** Ends as whoever has it wants. */
export const patient = workflow('patient', { timeout: '30d' }, async (ctx, error: string | null) => {
  await ctx.step('begin', async () => 1)
  await ctx.waitForSignal(go)
  if (error !== null) throw new RangeError(error)
})

/** Another version of it: its runs go on with their own. */
export const patient2 = workflow('patient', { version: 2 }, async (ctx: Ctx<string | null>) => {
  await ctx.step('begin otherwise', async () => 2)
  await ctx.waitForSignal(go)
})
