/** Forks and retries of real runs: what they keep, what they do anew, and what of the origin they take along. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { forkId } from '../../src/client/forks.js'
import { type Ctx, type Handle, IdConflictError, NonRetryableError, Stet, update, workflow } from '../../src/index.js'
import { gate, house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house({ verify: true })

/** Counts how often each step ran, and under which idempotency keys. */
function ledger() {
  const keys = new Map<string, string[]>()
  const ran = (name: string, key = '') => keys.set(name, [...(keys.get(name) ?? []), key])
  return { ran, keys, count: (name: string) => keys.get(name)?.length ?? 0 }
}

/** Without the marks: whether one is written depends on how long a step took. */
const parts = async (run: Handle<any>) =>
  (await run.history())
    .filter(({ type }) => type !== 'StepScheduled' && type !== 'TimerStarted')
    .map(({ type, name }) => (name === undefined ? type : `${type} ${name}`))

describe('a fork', () => {
  const { ran, keys, count } = ledger()
  const order = workflow('order', async (ctx: Ctx<{ card: string }>, input) => {
    const id = ctx.uuid()
    const [checked, reserved] = await Promise.all([
      ctx.step('check', ({ idempotencyKey }) => {
        ran('check', idempotencyKey)
        return 'checked'
      }),
      ctx.step('reserve', ({ idempotencyKey }) => {
        ran('reserve', idempotencyKey)
        return 'reserved'
      }),
    ])
    const charged = await ctx.step('charge', ({ idempotencyKey }) => {
      ran('charge', idempotencyKey)
      return `charged ${input.card}`
    })
    const later = ctx.uuid()
    return { id, checked, reserved, charged, later, run: ctx.run.id }
  })

  test('keeps what was done beside the place, does the rest anew with keys of its own, and leaves the origin as it was', async () => {
    await work([order])
    const run = await stet.start(order, { card: 'A' }, { id: 'order-1', attributes: { shop: 'x' } })
    const first = await run.result()
    const before = await run.history()
    const fork = await run.fork({ at: 'charge', input: { card: 'B' } })
    const second = await fork.result()
    expect(second).toMatchObject({ id: first.id, checked: 'checked', reserved: 'reserved', charged: 'charged B' })
    // Drawn behind the shared part: two runs do not make the same id.
    expect(second.later).not.toBe(first.later)
    expect([count('check'), count('reserve'), count('charge')]).toEqual([1, 1, 2])
    expect(keys.get('charge')).toEqual([`${run.runId}:3`, `${fork.runId}:3`])
    expect(fork.id).toMatch(/^order-1-fork-[0-9a-z]{8}$/)
    expect(second.run).toBe(fork.id)
    const cut = before.find(({ type, name }) => type === 'StepCompleted' && name === 'charge')!.seq
    expect(await fork.describe()).toMatchObject({
      status: 'completed',
      workflow: 'order',
      version: 1,
      attributes: { shop: 'x' },
      forkedFrom: { runId: run.runId, seq: cut },
    })
    expect('forkedFrom' in (await run.describe())).toBe(false)
    expect(await run.history()).toEqual(before)
    const { rows } = await db.query('SELECT forked_from FROM stet.runs WHERE run_id = ANY($1) ORDER BY created_at', [
      [run.runId, fork.runId],
    ])
    expect(rows).toEqual([{ forked_from: null }, { forked_from: run.runId }])
  })

  test('of a fork, and at the number of an event', async () => {
    await work([order])
    const run = await stet.start(order, { card: 'A' })
    const first = await run.result()
    const fork = await (await run.fork({ at: 'charge' })).fork({ at: 2, id: 'a fork of a fork' })
    expect(await fork.result()).toMatchObject({ id: first.id, charged: 'charged A', run: 'a fork of a fork' })
    // The step that runs anew may be any of the two: one was the first to end.
    expect(await stet.run('a fork of a fork').result()).toMatchObject({ id: first.id })
  })

  test('with a result that is given: the step does not run, what follows does', async () => {
    const seen: string[] = []
    const chain = workflow('chain', async (ctx: Ctx<void>) => {
      const a = await ctx.step('a', () => 'a')
      const b = await ctx.step('b', () => {
        seen.push(`b after ${a}`)
        return 'b'
      })
      return ctx.step('c', () => {
        seen.push(`c after ${b}`)
        return `${a} ${b} c`
      })
    })
    await work([chain])
    const run = await stet.start(chain)
    expect(await run.result()).toBe('a b c')
    seen.length = 0
    expect(await (await run.fork({ set: { b: 'B' } })).result()).toBe('a B c')
    expect(seen).toEqual(['c after B'])
    seen.length = 0
    expect(await (await run.fork({ at: 'c', set: { b: 'B' } })).result()).toBe('a B c')
    expect(await (await run.fork({ at: 'b', set: { a: 'A' } })).result()).toBe('A b c')
    expect(seen).toEqual(['c after B', 'b after A', 'c after b'])
    const behind = await refusal(run.fork({ at: 'a', set: { c: 'C' } }))
    expect([behind.code, behind.message]).toEqual(['invalid_input', expect.stringContaining('was not asked for yet')])
    expect((await refusal(run.fork({ set: { d: 1 } }))).message).toContain('"a", "b", "c"')
    expect((await refusal(run.fork({ set: { a: () => 1 } }))).name).toBe('SerializationError')
  })

  test('on another version, which a worker with that one takes', async () => {
    const version = (n: number) =>
      workflow('versioned fork', { version: n }, async (ctx: Ctx<void>) => {
        const a = await ctx.step('a', () => `a of ${n}`)
        return ctx.step('b', () => `${a}, b of ${n}`)
      })
    await work([version(1), version(2)])
    const run = await stet.start(version(1))
    expect(await run.result()).toBe('a of 1, b of 1')
    const fork = await run.fork({ at: 'b', version: 2 })
    expect(await fork.result()).toBe('a of 1, b of 2')
    expect(await fork.describe()).toMatchObject({ version: 2 })
    expect((await refusal(run.fork({ at: 'b', version: 0 }))).code).toBe('invalid_input')
  })

  test('of a run that is still going on: both go on', async () => {
    const open = gate()
    const slow = workflow('slow', async (ctx: Ctx<void>) => {
      const a = await ctx.step('a', () => ran('slow a'))
      await ctx.step('b', () => open.promise)
      return [a.size > 0, ctx.run.id]
    })
    await work([slow])
    const run = await stet.start(slow, undefined, { id: 'slow one' })
    const begun = ({ type, name }: { type: string; name?: string }) => type === 'StepScheduled' && name === 'b'
    await until(async () => (await run.history()).some(begun), 'it has begun')
    const fork = await stet.run<typeof slow>('slow one').fork({ at: 'b', id: 'slow two' })
    open.open()
    expect([(await run.result())[1], (await fork.result())[1]]).toEqual(['slow one', 'slow two'])
    expect(count('slow a')).toBe(1)
  })

  test('of a parked run at what it waits for', async () => {
    const waiting = workflow('waiting', async (ctx: Ctx<void>) => {
      await ctx.step('a', () => ran('waiting a'))
      return ctx.waitForSignal<string>('word')
    })
    await work([waiting])
    const run = await stet.start(waiting)
    await reached(run, 'waiting')
    const fork = await run.fork({ at: 'word' })
    await fork.signal('word', 'to the fork')
    expect(await fork.result()).toBe('to the fork')
    expect((await run.describe()).status).toBe('waiting')
    await run.terminate()
    expect(count('waiting a')).toBe(1)
  })

  test('that does not fit the code is blocked, and says so', async () => {
    const changing = workflow('changing', async (ctx: Ctx<string>, name) => {
      await ctx.step(name, () => 1)
      return ctx.step('end', () => 2)
    })
    await work([changing], { verify: () => {} })
    const run = await stet.start(changing, 'a')
    await run.result()
    const fork = await run.fork({ at: 'end', input: 'other' })
    expect((await reached(fork, 'blocked')).problem!.message).toContain('expected: operation 1: step "a"')
  })

  test('keeps its own time: deadline and total time count from the fork', async () => {
    const timed = workflow('timed', { timeout: '1h' }, async (ctx: Ctx<void>) => {
      await ctx.step('a', () => 1)
      return ctx.step('b', { totalTimeout: '30s' }, () => 2)
    })
    await work([timed])
    const run = await stet.start(timed)
    await run.result()
    await db.query(`UPDATE stet_store.history SET at = at - interval '2 h' WHERE run_id = $1`, [run.runId])
    await db.query(
      `UPDATE stet_store.runs SET created_at = created_at - interval '2 h', deadline = deadline - interval '2 h' WHERE run_id = $1`,
      [run.runId],
    )
    const fork = await run.fork({ at: 'b' })
    expect(await fork.result()).toBe(2)
    const again = await fork.fork({ at: 'b' })
    expect(await again.result()).toBe(2)
    const { rows } = await db.query(
      `SELECT extract(epoch FROM deadline - created_at)::int AS s FROM stet_store.runs WHERE workflow = 'timed'`,
    )
    expect(rows).toEqual([{ s: 3600 }, { s: 3600 }, { s: 3600 }])
  })

  test('says what is wrong, and writes nothing', async () => {
    await work([order])
    const run = await stet.start(order, { card: 'A' })
    await run.result()
    const open = await stet.start(order, { card: 'A' }, { id: 'taken', queue: 'nobody' })
    const counted = async () => (await db.query('SELECT count(*)::int AS n FROM stet_store.runs')).rows[0].n
    const before = await counted()
    expect((await refusal(stet.run('nobody').fork({ at: 'a' }))).code).toBe('run_not_found')
    expect(await refusal(run.fork({ at: 'charge', id: 'taken' }))).toBeInstanceOf(IdConflictError)
    expect((await refusal(run.fork({ at: 'last-failure' }))).code).toBe('no_failure')
    expect((await refusal(run.fork({ at: 99 }))).code).toBe('invalid_input')
    expect((await refusal(run.fork({ at: 'charge', inptu: 1 } as any))).message).toContain('Did you mean "input"?')
    expect((await refusal(run.fork({ at: 'charge', signals: 'keep' as any }))).code).toBe('invalid_input')
    expect((await refusal(run.fork({} as any))).message).toContain('expected the place of the fork')
    expect(await counted()).toBe(before)
    await open.terminate()
  })

  test('has an id that fits, also behind a long one', () => {
    expect(forkId('order-1', 'abc')).toBe('order-1-fork-abc')
    const id = forkId('ü'.repeat(127), 'abcdefgh')
    expect(id).toBe(`${'ü'.repeat(120)}-fork-abcdefgh`)
    expect(Buffer.byteLength(id)).toBeLessThanOrEqual(255)
  })

  test('the same request again makes it once; histories of many pages and odd payloads come over whole', async () => {
    const { store } = await stet.internals()
    const many = workflow('many', async (ctx: Ctx<void>) => {
      for (let i = 0; i < 6_000; i++) await ctx.step('s', () => 1)
      return ctx.waitForSignal('end')
    })
    const start = { seq: 1, type: 'RunStarted' as const, op: 0, name: null, payload: null, facts: null, at: 1_000 }
    const steps = Array.from({ length: 6_000 }, (_, i) => ({
      ...start,
      seq: i + 2,
      type: 'StepCompleted' as const,
      op: i + 1,
      name: 's',
      payload: i % 2 === 0 ? '"{a,\\"b\\\\,NULL}"' : null,
      facts: { causes: String(i) },
      at: 1_000.5 + i,
    }))
    const request = {
      ...{ runId: 'run_manual', id: 'manual', workflow: 'many', version: 1, queue: 'default', priority: 0 },
      ...{ timeoutMs: null, attributes: null, events: [start, ...steps], origin: { runId: 'run_x', seq: 6_002 } },
      ...{ signals: [{ name: 'end', payload: '"bye"' }], redeliver: false, updates: [], children: [] },
    }
    expect(await store.fork(request)).toBeNull()
    expect(await store.fork(request)).toBeNull()
    expect(await store.fork({ ...request, runId: 'run_manual_2' })).toMatchObject({ runId: 'run_manual', open: true })
    expect(await store.history('run_manual')).toEqual(request.events)
    await work([many])
    expect(await stet.run('manual').result()).toBe('bye')
  })
})

describe('from the last failure', () => {
  test('attempts count anew, failures of others stay, and the id stays with retry', async () => {
    let broken = true
    const { ran, count } = ledger()
    const flaky = workflow('flaky', async (ctx: Ctx<void>) => {
      const ignored = await ctx
        .step('ignored', { retry: false }, () => Promise.reject(new Error('never mind')))
        .catch(() => 'x')
      const done = await ctx.step('done', () => {
        ran('done')
        return 'done'
      })
      return ctx.step('flaky', { retry: { maxAttempts: 3, initialInterval: 1 } }, ({ attempt }) => {
        ran('flaky')
        if (broken || attempt < 2) throw new Error(`attempt ${attempt}`)
        return `${ignored} ${done} at attempt ${attempt}`
      })
    })
    await work([flaky])
    const run = await stet.start(flaky, undefined, { id: 'flaky one' })
    await refusal(run.result())
    broken = false
    const fork = await run.fork({ at: 'last-failure' })
    expect(await fork.result()).toBe('x done at attempt 2')
    const again = await stet.run<typeof flaky>('flaky one').retry()
    expect(again.id).toBe('flaky one')
    expect(again.runId).not.toBe(run.runId)
    expect(await again.result()).toBe('x done at attempt 2')
    expect(await stet.run('flaky one').result()).toBe('x done at attempt 2')
    expect([count('done'), count('flaky')]).toEqual([1, 3 + 2 + 2])
    expect(await parts(again)).toEqual([
      'RunStarted',
      'StepFailed ignored',
      'StepCompleted done',
      'AttemptFailed flaky',
      'StepCompleted flaky',
      'RunCompleted',
    ])
    expect((await refusal(again.retry())).code).toBe('no_failure')
  })

  test('of the code itself: all steps stand, and mended code goes on', async () => {
    const { ran, count } = ledger()
    const buggy = (mended: boolean) =>
      workflow('buggy', async (ctx: Ctx<void>) => {
        const value = await ctx.step('a', () => {
          ran('a')
          return { n: 1 } as { n: number; m?: { n: number } }
        })
        return mended ? value.n : value.m!.n
      })
    const worker = await loop([buggy(false)])
    const run = await stet.start(buggy(false))
    expect((await refusal(run.result())).cause.name).toBe('TypeError')
    await worker.stop()
    await work([buggy(true)])
    expect(await (await run.retry()).result()).toBe(1)
    expect(count('a')).toBe(1)
  })

  test('a step that runs at most once may run again: its mark is not taken over', async () => {
    let broken = true
    const once = workflow('once', async (ctx: Ctx<void>) =>
      ctx.step('once', { mode: 'atMostOnce', retry: false }, () => {
        if (broken) throw new NonRetryableError('broken')
        return 'ran'
      }),
    )
    await work([once])
    const run = await stet.start(once)
    await refusal(run.result())
    expect(await types(run)).toEqual(['RunStarted', 'StepScheduled', 'StepFailed', 'RunFailed'])
    broken = false
    expect(await (await run.retry()).result()).toBe('ran')
  })

  test('retry needs a closed run, and an id that is free', async () => {
    const fails = workflow('fails', async (ctx: Ctx<boolean>, wait) => {
      if (wait) await ctx.sleep('1d')
      await ctx.step('fail', { retry: false }, () => Promise.reject(new Error('no')))
    })
    await work([fails])
    const run = await stet.start(fails, false, { id: 'failing' })
    await refusal(run.result())
    const other = await stet.start(fails, true, { id: 'failing', ifClosed: 'new' })
    expect((await refusal(stet.run('failing').retry())).code).toBe('run_open')
    expect(await refusal(run.retry())).toBeInstanceOf(IdConflictError)
    await other.terminate()
    expect((await refusal((await run.retry()).result())).cause.message).toContain('no')
  })

  test('a child that failed runs anew as another child', async () => {
    let broken = true
    const kid = workflow('failing kid', async (ctx: Ctx<void>) =>
      ctx.step('kid step', { retry: false }, () => {
        if (broken) throw new Error('kid')
        return ctx.run.runId
      }),
    )
    const parent = workflow('parent of failing', async (ctx: Ctx<void>) => {
      const handle = await ctx.startChild(kid)
      await ctx.step('between', () => 1)
      return [handle.runId, await handle.result()]
    })
    await work([kid, parent])
    const run = await stet.start(parent, undefined, { id: 'family that fails' })
    await refusal(run.result())
    broken = false
    const fork = await run.retry()
    const [handle, ran] = (await fork.result()) as string[]
    expect(handle).toBe(ran)
    const started = (await run.history()).find(({ type }) => type === 'ChildStarted')!
    expect(handle).not.toBe(started.data.runId)
  })
})

describe('messages', () => {
  const collector = workflow('collector', async (ctx: Ctx<void>) => {
    const heard: string[] = []
    ctx.onUpdate(update<string, string>('hear'), (word) => {
      heard.push(word)
      return `heard ${word}`
    })
    const first = await ctx.waitForSignal<string>('word')
    await ctx.step('a', () => 1)
    const second = await ctx.waitForSignal<string>('word')
    const third = await ctx.waitForSignal<string>('word')
    return { words: [first, second, third], heard }
  })

  test('signals behind the place, and unread ones, are delivered anew in order; or dropped', async () => {
    await work([collector])
    const run = await stet.start(collector)
    expect(await run.update('hear', 'early', { messageId: 'u1' })).toBe('heard early')
    for (const word of ['one', 'two', 'three', 'four']) await run.signal('word', word, { messageId: word })
    expect(await run.result()).toEqual({ words: ['one', 'two', 'three'], heard: ['early'] })
    const fork = await run.fork({ at: 'a' })
    expect(await fork.result()).toEqual({ words: ['one', 'two', 'three'], heard: ['early'] })

    // From a place where the run had seen nothing of it: all four come, and none a second time.
    const whole = await run.fork({ at: 'start', id: 'whole' })
    await whole.signal('word', 'two', { messageId: 'two' }).catch(() => {})
    expect(await whole.result()).toEqual({ words: ['one', 'two', 'three'], heard: [] })

    const dropped = await run.fork({ at: 'a', signals: 'drop' })
    await reached(dropped, 'waiting')
    // The answer to an update that is shared is there for who asks again.
    expect(await dropped.update('hear', 'early', { messageId: 'u1' })).toBe('heard early')
    for (const word of ['zwei', 'drei']) await dropped.signal('word', word)
    expect(await dropped.result()).toEqual({ words: ['one', 'zwei', 'drei'], heard: ['early'] })
  })

  test('an update behind the place is not, and may be sent again', async () => {
    await work([collector])
    const run = await stet.start(collector)
    await run.signal('word', 'one')
    await until(async () => (await types(run)).includes('StepCompleted'), 'the step is done')
    await run.update('hear', 'late', { messageId: 'u2' })
    const fork = await run.fork({ at: 'a' })
    await reached(fork, 'waiting')
    expect(await types(fork)).not.toContain('UpdateReceived')
    expect(await fork.update('hear', 'late', { messageId: 'u2' })).toBe('heard late')
    await Promise.all([run.terminate(), fork.terminate()])
  })
})

describe('children that were open at the place', () => {
  const kid = workflow('kid', async (ctx: Ctx<string>, name) => `${name}: ${await ctx.waitForSignal<string>('word')}`)
  const parent = workflow('parent', async (ctx: Ctx<'plain' | 'staged'>, how) => {
    const options = { parentClosePolicy: 'abandon' as const }
    if (how === 'staged') {
      const handle = await ctx.startChild(kid, 'staged', options)
      await ctx.step('between', () => {})
      return [handle.runId, await handle.result()]
    }
    const child = ctx.child(kid, 'plain', options)
    await ctx.step('between', () => {})
    return [await child]
  })
  const begun = async (how: 'plain' | 'staged') => {
    const run = await stet.start(parent, how)
    await reached(run, 'waiting')
    return { run, child: stet.run<typeof kid>(await childOf(run)) }
  }
  const childOf = (run: Handle<any>): Promise<string> =>
    until(async () => {
      const { rows } = await db.query('SELECT run_id FROM stet_store.runs WHERE parent_run_id = $1', [run.runId])
      return rows[0]?.run_id
    }, 'the child is there')

  test.each(['plain', 'staged'] as const)('rerun, %s: the fork has a child of its own', async (how) => {
    await work([parent, kid])
    const { run, child } = await begun(how)
    const fork = await run.fork({ at: how === 'plain' ? 'kid' : 'between' })
    const own = await childOf(fork)
    await stet.run(own).signal('word', 'mine')
    await child.signal('word', 'yours')
    expect(await fork.result()).toEqual(how === 'plain' ? ['plain: mine'] : [own, 'staged: mine'])
    expect((await run.result()).at(-1)).toBe(`${how}: yours`)
    // Where the code saw the start, what follows it is done anew.
    const shared = (await fork.history()).filter(({ data }) => data?.from !== undefined).map(({ type }) => type)
    expect(shared).toEqual(how === 'plain' ? ['RunStarted', 'StepCompleted'] : ['RunStarted'])
  })

  test('cancel: those of the origin are asked to cancel too', async () => {
    await work([parent, kid])
    const { run, child } = await begun('plain')
    const fork = await run.fork({ at: 'kid', children: 'cancel' })
    expect((await refusal(child.result())).code).toBe('run_cancelled')
    expect((await refusal(run.result())).code).toBe('run_failed')
    await stet.run(await childOf(fork)).signal('word', 'mine')
    expect(await fork.result()).toEqual(['plain: mine'])
  })

  test('keep: what came of a closed one comes to the fork', async () => {
    await work([parent, kid])
    const { run, child } = await begun('staged')
    await child.signal('word', 'kept')
    const first = await run.result()
    const fork = await run.fork({ at: 'between', children: 'keep' })
    expect(await fork.result()).toEqual(first)
    expect(await parts(fork)).toEqual([
      'RunStarted',
      'ChildStarted kid',
      'StepCompleted between',
      'ChildCompleted kid',
      'RunCompleted',
    ])
  })

  test('keep: an open one goes over to the fork, from a closed run, once', async () => {
    await work([parent, kid])
    const { run, child } = await begun('staged')
    const held = await refusal(run.fork({ at: 'between', children: 'keep' }))
    expect([held.code, held.message]).toEqual(['origin_open', expect.stringContaining('Close that run first')])
    await run.terminate()
    const fork = await run.fork({ at: 'between', children: 'keep' })
    expect((await child.describe()).parent).toEqual({ id: fork.id, runId: fork.runId })
    expect((await refusal(run.fork({ at: 'between', children: 'keep' }))).code).toBe('child_taken')
    await child.signal('word', 'over')
    expect(await fork.result()).toEqual([(await child.describe()).runId, 'staged: over'])
    // Closed by now, so it is nobody's to take.
    expect(await (await run.fork({ at: 'between', children: 'keep' })).result()).toEqual(await fork.result())
  })
})

test('with a payload codec nothing of a fork is plain text', async () => {
  const secret = 'a very private matter'
  const turn = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 0x5a)
  const codec = { encode: turn, decode: turn }
  const coded = new Stet({ url: db.url, codec })
  onTestFinished(() => coded.close())
  const flow = workflow('coded fork', async (ctx: Ctx<string>, input) => {
    const a = await ctx.step('a', () => input)
    const word = await ctx.waitForSignal<string>('word')
    return [input, a, word]
  })
  const worker = coded.worker({ workflows: [flow] })
  await worker.start()
  const run = await coded.start(flow, secret)
  await run.signal('word', `${secret}: word`)
  expect(await run.result()).toEqual([secret, secret, `${secret}: word`])
  const fork = await run.fork({ at: 'word', set: { a: `${secret}: set` }, input: `${secret}: input` })
  expect(await fork.result()).toEqual([`${secret}: input`, `${secret}: set`, `${secret}: word`])
  await worker.stop()
  const left = await run.fork({ at: 'word', set: { a: secret } })
  const { rows } = await db.query(
    `SELECT h::text AS row FROM stet_store.history h WHERE run_id = ANY($1)
     UNION ALL SELECT i::text FROM stet_store.inbox i WHERE run_id = ANY($1)`,
    [[run.runId, fork.runId, left.runId]],
  )
  expect(rows.some(({ row }) => row.includes('word'))).toBe(true)
  expect(rows.filter(({ row }) => row.includes(secret))).toEqual([])
})
