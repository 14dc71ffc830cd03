import { readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { dag, dagFromJSON } from '../../src/core/dag.js'
import { CancelledFailure, InvalidInputError, StepFailure } from '../../src/core/errors.js'
import { graphOf } from '../../src/core/graph.js'
import { randomFrom } from '../../src/core/random.js'
import type { Dag, DagSpec, OutputOf, Task } from '../../src/core/types.js'
import { type Driven, drive, epoch, replay, replayEveryPrefix } from '../support/drive.js'

const fails = (message: string) => () => {
  throw new Error(message)
}
const once = { retry: false } as const

function graph(driven: Driven) {
  return graphOf(driven.history, driven.pending)
}
function edges(driven: Driven): string[] {
  return graph(driven)
    .edges.map(({ from, to }) => `${from}>${to}`)
    .sort()
}
function statuses(driven: Driven): Record<string, string> {
  return Object.fromEntries(graph(driven).nodes.map(({ key, status }) => [key, status]))
}
/** The virtual times at which a task began and ended, in ms. */
function span(driven: Driven, name: string): [number, number] {
  const node = graph(driven).nodes.find((each) => each.name === name)!
  return [Date.parse(node.startedAt as string) - epoch, Date.parse(node.endedAt as string) - epoch]
}
function reasonOf(driven: Driven, name: string): string | undefined {
  return driven.history.find((event) => event.type === 'StepSkipped' && event.name === name)?.facts?.reason
}

interface Order {
  id: string
  items: number
}

describe('dag', () => {
  const orderDag = dag('order_processing', (d: Dag<Order>) => {
    const validate = d.task('validate_payment', (order) => ({ paid: order.id }))
    const reserve = d.task('reserve_inventory', (order) => order.items)
    const charge = d.task('charge_payment', { dependsOn: [validate] }, (_order, [payment]) => `charged ${payment.paid}`)
    const ship = d.task(
      'ship_order',
      { dependsOn: [reserve, charge] },
      (order, [stock, receipt]) => `${order.id}: ${stock}, ${receipt}`,
    )
    const confirm = d.task('send_confirmation', { dependsOn: [ship], critical: false }, () => true)
    return { ship, confirm }
  })

  it('runs the sample, gives tasks what they depend on, and returns what define returned', async () => {
    const driven = await drive(orderDag, { input: { id: 'o1', items: 3 } })
    expect(driven.outcome).toEqual({ type: 'completed', value: { ship: 'o1: 3, charged o1', confirm: true } })
    expect(edges(driven)).toEqual(
      [
        'start>validate_payment',
        'start>reserve_inventory',
        'validate_payment>charge_payment',
        'reserve_inventory>ship_order',
        'charge_payment>ship_order',
        'ship_order>send_confirmation',
      ].sort(),
    )
    await replayEveryPrefix(orderDag, driven)
  })

  it('has typed results', () => {
    expectTypeOf<OutputOf<typeof orderDag>>().toEqualTypeOf<{ ship: string; confirm: boolean | undefined }>()
    dag('typed', (d: Dag<number>) => {
      const a = d.task('a', (input) => input + 1)
      expectTypeOf(a).toEqualTypeOf<Task<number>>()
      const b = d.task('b', { critical: false, dependsOn: [a] }, async (_input, [x]) => String(x))
      expectTypeOf(b).toEqualTypeOf<Task<string | undefined>>()
      const c = d.task('c', { dependsOn: [b, a] }, (_input, [x, y], step) => {
        expectTypeOf(x).toEqualTypeOf<string | undefined>()
        expectTypeOf(y).toEqualTypeOf<number>()
        expectTypeOf(step.attempt).toEqualTypeOf<number>()
        return y > 1
      })
      // @ts-expect-error: there is one dependency, not two
      d.task('d', { dependsOn: [a] }, (_input, [x, y]) => [x, y])
      // @ts-expect-error: the output of `a` is a number
      d.task('e', { dependsOn: [a] }, (_input, [x]) => x.toUpperCase())
      return { c }
    })
    const byName = dag('by_name', (d: Dag<void>) => {
      d.task('a', () => 1)
    })
    expectTypeOf<OutputOf<typeof byName>>().toEqualTypeOf<Record<string, unknown>>()
  })

  it('returns all outputs by name when define returns nothing', async () => {
    const made = dag('by_name', (d: Dag<number>) => {
      const a = d.task('a', (input) => input + 1)
      d.task('__proto__', { dependsOn: [a] }, (_input, [x]) => x * 2)
    })
    const driven = await drive(made, { input: 1 })
    expect(Object.entries((driven.outcome as any).value)).toEqual([
      ['a', 2],
      ['__proto__', 4],
    ])
  })

  it('starts a task when its own dependencies are closed, and not later', async () => {
    const made = dag('parallel', (d: Dag<void>) => {
      const fast = d.task('fast', () => 1)
      const slow = d.task('slow', () => 1)
      const next = d.task('next', { dependsOn: [fast] }, () => 1)
      d.task('end', { dependsOn: [slow, next] }, () => 1)
    })
    const latency = (name: string) => ({ fast: 2, slow: 50, next: 3, end: 1 })[name]!
    const driven = await drive(made, { latency })
    expect(['fast', 'slow', 'next', 'end'].map((name) => span(driven, name))).toEqual([
      [0, 2],
      [0, 50],
      [2, 5],
      [50, 51],
    ])
    expect(driven.elapsed).toBe(51)
  })

  it('draws redundant edges as they were declared', async () => {
    const made = dag('redundant', (d: Dag<void>) => {
      const a = d.task('a', () => 1)
      const b = d.task('b', { dependsOn: [a] }, () => 1)
      d.task('c', { dependsOn: [b, a, a] }, (_input, all) => all.length)
    })
    const driven = await drive(made)
    expect(edges(driven)).toEqual(['a>b', 'a>c', 'b>c', 'start>a'])
    expect(driven.outcome).toMatchObject({ value: { c: 3 } })
  })

  it('names the line that declared a task', async () => {
    const driven = await drive(orderDag, { input: { id: 'o1', items: 3 } })
    const lines = driven.history.filter(({ type }) => type === 'StepCompleted').map(({ facts }) => facts?.where)
    expect(new Set(lines).size).toBe(5)
    for (const line of lines) expect(line).toMatch(/^test\/core\/dag\.test\.ts:\d+$/)
  })

  it('obeys step options and the retry policy of the workflow', async () => {
    let calls = 0
    const made = dag(
      'retries',
      { version: 3, retry: { maxAttempts: 2, initialInterval: 10, jitter: 0 } },
      (d: Dag<void>) => {
        const flaky = d.task('flaky', (_input, _none, step) => {
          calls++
          if (step.attempt < 2) throw new Error('again')
          return step.attempt
        })
        d.task('never', { dependsOn: [flaky], retry: false, critical: false }, fails('once'))
        return { flaky }
      },
    )
    expect(made.version).toBe(3)
    const driven = await drive(made)
    expect(driven.outcome).toEqual({ type: 'completed', value: { flaky: 2 } })
    expect(calls).toBe(2)
    expect(graph(driven).nodes.map(({ key, attempts }) => [key, attempts])).toEqual([
      ['start', 1],
      ['flaky', 2],
      ['never', 1],
    ])
    await replayEveryPrefix(made, driven)
  })

  describe('when a task fails', () => {
    it('critical: dependents are skipped, what runs ends, nothing new starts, the run fails with it', async () => {
      const began: string[] = []
      const made = dag('critical', (d: Dag<void>) => {
        const task = (name: string, dependsOn: Task<any>[], fn: () => unknown = () => name) =>
          d.task(name, { dependsOn, ...once }, () => {
            began.push(name)
            return fn()
          })
        const bad = task('bad', [], fails('no luck'))
        const slow = task('slow', [])
        const direct = task('direct', [bad])
        task('indirect', [direct])
        task('both', [slow, bad])
        task('independent', [slow])
      })
      const driven = await drive(made, { latency: (name) => (name === 'slow' ? 20 : 2) })
      expect(began).toEqual(['bad', 'slow'])
      expect(driven.outcome?.type).toBe('failed')
      const { error } = driven.outcome as { error: StepFailure }
      expect(error).toBeInstanceOf(StepFailure)
      expect(error.step).toBe('bad')
      expect((error.cause as Error).message).toBe('no luck')
      expect(statuses(driven)).toEqual({
        start: 'completed',
        bad: 'failed',
        slow: 'completed',
        direct: 'skipped',
        indirect: 'skipped',
        both: 'skipped',
        independent: 'skipped',
      })
      expect(driven.elapsed).toBe(20)
      expect(reasonOf(driven, 'direct')).toBe('its dependency "bad" failed')
      expect(reasonOf(driven, 'indirect')).toBe('its dependency "direct" was skipped')
      expect(reasonOf(driven, 'independent')).toBe('the critical task "bad" failed')
      expect(edges(driven)).toEqual(
        [
          'start>bad',
          'start>slow',
          'bad>direct',
          'direct>indirect',
          'slow>both',
          'bad>both',
          'slow>independent',
        ].sort(),
      )
      await replayEveryPrefix(made, driven)
    })

    it('critical: the first one is the failure of the run', async () => {
      const made = dag('two', (d: Dag<void>) => {
        d.task('late', once, fails('late'))
        d.task('early', once, fails('early'))
      })
      const driven = await drive(made, { latency: (name) => (name === 'late' ? 9 : 2) })
      expect((driven.outcome as { error: StepFailure }).error.step).toBe('early')
      expect(statuses(driven)).toEqual({ start: 'completed', late: 'failed', early: 'failed' })
    })

    it('not critical: only its dependents are skipped, and outputs are undefined', async () => {
      const made = dag('optional', (d: Dag<void>) => {
        const bad = d.task('bad', { critical: false, ...once }, fails('no'))
        const after = d.task('after', { dependsOn: [bad] }, () => 'never')
        const good = d.task('good', () => 'good')
        const end = d.task('end', { dependsOn: [good] }, (_input, [x]) => `${x}!`)
        return { bad, after, end }
      })
      const driven = await drive(made)
      expect(driven.outcome).toEqual({ type: 'completed', value: { bad: undefined, after: undefined, end: 'good!' } })
      expect(statuses(driven)).toMatchObject({ bad: 'failed', after: 'skipped', good: 'completed', end: 'completed' })
      await replayEveryPrefix(made, driven)
    })

    it("when: 'closed' runs whatever became of the dependencies, also after a critical failure", async () => {
      const made = dag('cleanup', (d: Dag<void>) => {
        const good = d.task('good', () => 'good')
        const bad = d.task('bad', once, fails('no'))
        const skipped = d.task('skipped', { dependsOn: [bad] }, () => 'never')
        const clean = d.task('clean', { dependsOn: [good, bad, skipped], when: 'closed' }, (_input, all) => [...all])
        d.task('after clean', { dependsOn: [clean] }, () => 'never')
        d.task('report', { dependsOn: [clean], when: 'closed' }, (_input, [seen]) => seen)
      })
      const driven = await drive(made, { latency: (name) => (name === 'good' ? 7 : 2) })
      expect((driven.outcome as { error: StepFailure }).error.step).toBe('bad')
      expect(statuses(driven)).toMatchObject({
        skipped: 'skipped',
        clean: 'completed',
        'after clean': 'skipped',
        report: 'completed',
      })
      const clean = driven.history.find(({ type, name }) => type === 'StepCompleted' && name === 'clean')!
      expect(driven.execution.operation(clean.op!)!.causes.members).toHaveLength(3)
      await expect(driven.execution.operation(clean.op!)!.promise).resolves.toEqual(['good', undefined, undefined])
      await replayEveryPrefix(made, driven)
    })
  })

  it('ends as cancelled when it is cancelled, after the tasks that run when closed', async () => {
    const made = dag('cancelled', (d: Dag<void>) => {
      const long = d.task('long', () => 1)
      d.task('next', { dependsOn: [long] }, () => 1)
      d.task('clean', { dependsOn: [long], when: 'closed' }, () => 1)
    })
    const driven = await drive(made, { latency: (name) => (name === 'long' ? 1000 : 2), cancelAt: 10 })
    expect(driven.outcome?.type).toBe('cancelled')
    expect((driven.outcome as { error: unknown }).error).toBeInstanceOf(CancelledFailure)
    expect(statuses(driven)).toMatchObject({ next: 'skipped', clean: 'completed' })
    expect(driven.elapsed).toBe(12)
    await replayEveryPrefix(made, driven)
  })

  it('blocks when history skipped a task that the code now runs', async () => {
    const define = (critical: boolean) =>
      dag('changed', (d: Dag<void>) => {
        const bad = d.task('bad', { critical, ...once }, fails('no'))
        d.task('after', { dependsOn: [bad], when: critical ? 'completed' : 'closed' }, () => 1)
      })
    const driven = await drive(define(true))
    const { blockage } = (await replay(define(false), driven.history)).execution
    expect(blockage?.mismatch).toEqual({
      seq: 3,
      expected: 'operation 2: skip "after"',
      actual: 'operation 2: step "after"',
    })
  })

  describe('refuses at definition', () => {
    const refused = (define: (d: any) => any, options?: any): string => {
      try {
        if (options === undefined) dag('bad', define)
        else dag('bad', options, define)
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidInputError)
        return (error as Error).message
      }
      return 'accepted'
    }
    const fn = () => 1

    it('an empty dag', () => {
      expect(refused(() => {})).toBe('dag "bad": expected at least one task, got none.')
    })
    it('a name used twice', () => {
      const message = refused((d) => {
        d.task('a', fn)
        d.task('a', fn)
      })
      expect(message).toBe('dag "bad", task "a": there is a task of this name already.')
    })
    it('a task of another dag, and what is no task', () => {
      let foreign: unknown
      refused((d) => {
        foreign = d.task('foreign', fn)
      })
      expect(refused((d) => d.task('a', { dependsOn: [foreign] }, fn))).toBe(
        'dag "bad", task "a", dependsOn[0]: task "foreign" belongs to another dag. Use what d.task() of this dag returned.',
      )
      expect(refused((d) => d.task('a', { dependsOn: ['x'] }, fn))).toContain(
        'dependsOn[0]: expected what d.task() returned',
      )
      expect(refused((d) => d.task('a', { dependsOn: [undefined] }, fn))).toContain('got undefined')
      expect(refused((d) => ({ a: d.task('a', fn), x: foreign }))).toContain('returned "x": task "foreign" belongs')
    })
    it('a task after the definition', () => {
      let late: any
      refused((d) => {
        late = d
        d.task('a', fn)
      })
      expect(() => late.task('b', fn)).toThrow('d.task("b") was called after the dag was defined')
    })
    it('an async define, and results that are no tasks', () => {
      expect(refused(async (d) => void d.task('a', fn))).toContain('cannot be async')
      expect(refused((d) => [d.task('a', fn)])).toContain('got an array')
      expect(refused((d) => d.task('a', fn))).toContain('got the task "a" itself. Return it in an object.')
      expect(refused((d) => ({ a: d.task('a', fn) && 1 }))).toContain(
        'returned "a": expected what d.task() returned, got number',
      )
    })
    it('options that cannot be used', () => {
      const option = (options: unknown) => refused((d) => void d.task('a', options, fn))
      expect(option({ critical: 'no' })).toBe('dag "bad", task "a", critical: expected true or false, got "no".')
      expect(option({ when: 'always' })).toContain("when: expected 'completed' or 'closed', got \"always\"")
      expect(option({ retry: true })).toContain('retry: expected a retry policy or false, got true')
      expect(option({ retry: { maxAttempts: 0 } })).toContain('retry.maxAttempts: expected a whole number')
      expect(option({ retry: { maxAttemps: 2 } })).toContain('there is no "maxAttemps". Did you mean "maxAttempts"?')
      expect(option({ timeout: '5 parsecs' })).toContain('dag "bad", task "a", timeout:')
      expect(option({ mode: 'exactlyOnce' })).toContain('mode')
      expect(option({ dependOn: [] })).toContain('there is no "dependOn". Did you mean "dependsOn"?')
      expect(option({ dependsOn: 'a' })).toContain('dependsOn: expected an array of tasks')
      expect(option(null)).toContain('expected options, got null')
      expect(refused((d) => d.task('', fn))).toContain('name: expected text of 1 to 255 bytes')
      expect(refused((d) => d.task('a', {}))).toContain('expected a function as the last argument, got undefined')
      expect(refused((d) => d.task('a', fn), { version: 0 })).toContain('version')
    })
  })
})

describe('dagFromJSON', () => {
  const spec: DagSpec = {
    name: 'etl',
    version: 2,
    tasks: [
      { name: 'report', use: 'say', dependsOn: ['total', 'load'], with: { to: 'ops' }, critical: false },
      { name: 'load', use: 'load' },
      { name: 'total', use: 'sum', dependsOn: ['load'], retry: { maxAttempts: 2 }, timeout: '5s' },
    ],
  }
  const functions = {
    load: (input: number) => [input, input + 1],
    sum: (_input: unknown, { load }: any) => load.reduce((a: number, b: number) => a + b, 0),
    say: (_input: unknown, { total, load }: any, step: any) =>
      `${step.with.to}: ${total} of ${load.length}, attempt ${step.attempt}`,
  }

  it('runs tasks in any order of writing, with outputs by name and `with` on the step', async () => {
    const made = dagFromJSON(spec, functions)
    expect([made.name, made.version]).toEqual(['etl', 2])
    const driven = await drive(made, { input: 4 })
    expect(driven.outcome).toEqual({
      type: 'completed',
      value: { report: 'ops: 9 of 2, attempt 1', load: [4, 5], total: 9 },
    })
    expect(edges(driven)).toEqual(['load>report', 'load>total', 'start>load', 'total>report'])
    await replayEveryPrefix(made, driven)
  })

  const refused = (change: any, given: any = functions): string => {
    try {
      dagFromJSON({ ...spec, ...change }, given)
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidInputError)
      return (error as Error).message
    }
    return 'accepted'
  }
  const task = (name: string, dependsOn: unknown = [], more: object = {}) => ({ name, use: 'load', dependsOn, ...more })

  it('refuses a cycle and names the whole path', () => {
    const tasks = [task('x', ['a']), task('a', ['b']), task('b', ['c', 'y']), task('y'), task('c', ['a'])]
    expect(refused({ tasks })).toBe('dag "etl": tasks depend on themselves: a → b → c → a (each on the next).')
    expect(refused({ tasks: [task('a', ['a'])] })).toContain(': a → a (')
  })

  it('finds a cycle at the end of 20,000 tasks', () => {
    const tasks = Array.from({ length: 20_000 }, (_, i) => task(`t${i}`, i === 0 ? ['t19999'] : [`t${i - 1}`]))
    expect(refused({ tasks })).toContain('→ t0 (each on the next)')
  })

  it('names the place of what it refuses', () => {
    const tasks = (...list: unknown[]) => refused({ tasks: list })
    expect(tasks(task('load'), task('a'), task('b'), task('c', ['laod']))).toBe(
      'dag "etl", tasks[3].dependsOn[0]: there is no task "laod". Did you mean "load"?',
    )
    expect(tasks(task('a'), task('a'))).toBe('dag "etl", tasks[1].name: "a" is the name of tasks[0] already.')
    expect(tasks(task('a', [], { use: 'lod' }))).toBe(
      'dag "etl", tasks[0].use: no function "lod" was given. Did you mean "load"?',
    )
    expect(tasks(task('a', [], { use: 'constructor' }))).toContain('no function "constructor" was given')
    expect(tasks(task('a', [], { use: 7 }))).toContain('tasks[0].use: expected the name of a function, got 7')
    expect(tasks(task('a', 'load'))).toContain('tasks[0].dependsOn: expected an array of task names, got "load"')
    expect(tasks(task('a', [1]))).toContain('tasks[0].dependsOn[0]: expected the name of a task, got 1')
    expect(tasks(task('a', [], { critcal: false }))).toBe(
      'dag "etl", tasks[0]: there is no "critcal". Did you mean "critical"?',
    )
    expect(tasks(task('a', [], { critical: 0 }))).toContain('tasks[0], critical: expected true or false, got 0')
    expect(tasks(task('a', [], { retry: { maxAttemps: 1 } }))).toContain('Did you mean "maxAttempts"?')
    expect(tasks(task('a', [], { timeout: 'soon' }))).toContain('dag "etl", tasks[0], timeout:')
    expect(tasks({ use: 'load' })).toContain('tasks[0], name: expected text')
    expect(tasks('load')).toContain('tasks[0]: expected an object with name and use, got "load"')
    expect(tasks()).toBe('dag "etl": expected at least one task, got none.')
    expect(refused({ tasks: {} })).toContain('tasks: expected an array, got an object')
    expect(refused({ task: [] })).toContain('there is no "task". Did you mean "tasks"?')
    expect(refused({ version: '1' })).toContain('version')
    expect(refused({ name: '' })).toContain('name: expected text')
    expect(() => dagFromJSON('{}' as any, functions)).toThrow('expected an object with name and tasks, got "{}"')
  })
})

/** Runs a dag given as names with parents, each task taking its time, and checks order, times and picture. */
async function checkShape(shape: readonly { id: string; parents: readonly string[]; ms: number }[]): Promise<void> {
  const tasks = shape.map(({ id, parents }) => ({ name: id, use: 'task', dependsOn: [...parents] }))
  const made = dagFromJSON(
    { name: 'shape', tasks },
    { task: (_input, dependencies) => Object.keys(dependencies).length },
  )
  const ms = new Map(shape.map((task) => [task.id, task.ms]))
  const driven = await drive(made, { latency: (name) => ms.get(name)! })
  expect(driven.outcome).toEqual({
    type: 'completed',
    value: Object.fromEntries(shape.map(({ id, parents }) => [id, new Set(parents).size])),
  })
  const { nodes } = graph(driven)
  const times = new Map(
    nodes.map((node) => [node.key, [node.startedAt, node.endedAt].map((t) => Date.parse(t as string))]),
  )
  for (const { id, parents } of shape) {
    // Exactly when the last of its dependencies ended: not before, and not after something else.
    const due = Math.max(epoch, ...parents.map((parent) => times.get(parent)![1]!))
    expect(times.get(id), id).toEqual([due, due + ms.get(id)!])
  }
  const given = shape.flatMap(({ id, parents }) =>
    parents.length === 0 ? [`start>${id}`] : [...new Set(parents)].map((parent) => `${parent}>${id}`),
  )
  expect(edges(driven)).toEqual(given.sort())
}

describe('dags of other people, and random ones', () => {
  for (const file of ['1000genome', 'srasearch']) {
    it(`runs ${file} in the order of its dependencies, and gives back exactly its edges`, async () => {
      const { tasks } = JSON.parse(readFileSync(new URL(`../fixtures/${file}.json`, import.meta.url), 'utf8'))
      await checkShape(tasks.map((task: any) => ({ ...task, ms: Math.round(task.seconds * 1000) })))
    })
  }

  it('runs random dags of 500 tasks, and gives back exactly their edges', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const random = randomFrom(`dag ${seed}`)
      const shape = Array.from({ length: 500 }, (_, i) => ({
        id: `task ${i}`,
        ms: 1 + (random() % 100),
        parents: i === 0 ? [] : [...new Set(Array.from({ length: random() % 5 }, () => `task ${random() % i}`))],
      }))
      // Written in another order than they can run in.
      for (let i = shape.length - 1; i > 0; i--) {
        const j = random() % (i + 1)
        ;[shape[i], shape[j]] = [shape[j]!, shape[i]!]
      }
      await checkShape(shape)
    }
  })

  it('skips what depends on a failure in a random dag, and nothing else', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = randomFrom(`failures ${seed}`)
      const tasks = Array.from({ length: 60 }, (_, i) => ({
        name: `t${i}`,
        use: random() % 8 === 0 ? 'bad' : 'good',
        critical: false,
        retry: false as const,
        dependsOn: i === 0 ? [] : [...new Set(Array.from({ length: random() % 3 }, () => `t${random() % i}`))],
      }))
      const made = dagFromJSON({ name: 'failures', tasks }, { good: () => 1, bad: fails('no') })
      const driven = await drive(made, { latency: () => 1 + (random() % 20) })
      const expected = new Map<string, string>()
      for (const { name, use, dependsOn } of tasks) {
        const runs = dependsOn.every((other) => expected.get(other) === 'completed')
        expected.set(name, !runs ? 'skipped' : use === 'bad' ? 'failed' : 'completed')
      }
      expect(statuses(driven)).toEqual({ start: 'completed', ...Object.fromEntries(expected) })
      expect(driven.outcome?.type).toBe('completed')
    }
  })

  it('runs 100 layers of 100 tasks, each on the whole layer before: 990,100 edges', async () => {
    const layer = (l: number) => Array.from({ length: 100 }, (_, i) => `${l}.${i}`)
    const shape = Array.from({ length: 100 }, (_, l) =>
      layer(l).map((id) => ({ id, parents: l === 0 ? [] : layer(l - 1), ms: 1 })),
    ).flat()
    const tasks = shape.map(({ id, parents }) => ({ name: id, use: 'task', dependsOn: parents }))
    const driven = await drive(dagFromJSON({ name: 'layers', tasks }, { task: () => 1 }))
    expect(driven.outcome?.type).toBe('completed')
    const drawn = graph(driven)
    expect([drawn.nodes.length, drawn.edges.length]).toEqual([10_001, 990_100])
    expect(drawn.edges.at(-1)).toEqual({ from: '98.99', to: '99.99' })
  })
})
