/**
 * The same workflow, driven in the same way, leaves the same history on either store: what happens follows from the
 * workflow and its drive, not from where it is kept.
 *
 * Every wait of a program has a length of its own, a power of two, so no two of its sums end at the same time; and the
 * drive sends its messages between them. Marks (a step was scheduled) are left out: whether one is written is a matter
 * of real time.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RecordedEvent } from '../../src/core/events.js'
import { type Ctx, NonRetryableError, workflow } from '../../src/index.js'
import type { Store } from '../../src/store/port.js'
import { type TestEnv, testEnv } from '../../src/testing/index.js'
import { databases } from './databases.js'

const minute = 60_000

type Node =
  | { do: 'step' | 'fail'; name: string }
  | { do: 'sleep'; minutes: number }
  | { do: 'signal'; name: string; minutes: number }
  | { do: 'seq' | 'all' | 'race'; of: Node[] }
  | { do: 'child'; of: Node[]; minutes: number }

async function perform(ctx: Ctx, node: Node): Promise<unknown> {
  switch (node.do) {
    case 'step':
      return ctx.step(node.name, () => `did ${node.name}`)
    case 'fail':
      return ctx
        .step(node.name, () => {
          throw new NonRetryableError(`no ${node.name}`)
        })
        .catch(({ cause }) => (cause as Error).message)
    case 'sleep':
      return ctx.sleep(node.minutes * minute)
    case 'signal':
      return ctx.waitForSignal(node.name, { timeout: node.minutes * minute, default: null })
    case 'seq': {
      const results = []
      for (const each of node.of) results.push(await perform(ctx, each))
      return results
    }
    case 'all':
      return Promise.all(node.of.map((each) => perform(ctx, each)))
    case 'race':
      return Promise.race(node.of.map((each) => perform(ctx, each)))
    case 'child':
      // Ends at a time of its own, so that the ends of two children have an order.
      return ctx.child(program, { do: 'seq', of: [...node.of, { do: 'sleep', minutes: node.minutes }] })
  }
}
const program = workflow('program', (ctx, node: Node): Promise<unknown> => perform(ctx, node))

const { node } = fc.letrec<{ node: Node; plain: Node }>((tie) => {
  const few = (kind: 'node' | 'plain') => fc.array(tie(kind), { minLength: 1, maxLength: 3 })
  const small = { maxDepth: 3, depthSize: 'small' } as const
  const leaves = [
    fc.record({ do: fc.constantFrom('step', 'step', 'fail'), name: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ do: fc.constant('sleep'), minutes: fc.constant(0) }),
    fc.record({ do: fc.constant('signal'), name: fc.constantFrom('x', 'y'), minutes: fc.constant(0) }),
  ]
  // No child in a race: how far one has come when its parent ends is a matter of real time.
  const race = fc.record({ do: fc.constant('race'), of: few('plain') })
  return {
    plain: fc.oneof(small, ...leaves, race, fc.record({ do: fc.constantFrom('seq', 'all'), of: few('plain') })),
    node: fc.oneof(
      small,
      ...leaves,
      race,
      fc.record({ do: fc.constantFrom('seq', 'all'), of: few('node') }),
      fc.record({ do: fc.constant('child'), of: few('node'), minutes: fc.constant(0) }),
    ),
  } as { node: fc.Arbitrary<Node>; plain: fc.Arbitrary<Node> }
})

/** Gives each wait a length of its own. */
function timed(node: Node, next = { minutes: 1 }): Node {
  const own = () => {
    const { minutes } = next
    next.minutes *= 2
    return minutes
  }
  if ('of' in node) {
    const of = node.of.map((each) => timed(each, next))
    return node.do === 'child' ? { ...node, of, minutes: own() } : { ...node, of }
  }
  return 'minutes' in node ? { ...node, minutes: own() } : node
}

function children(node: Node): number {
  const below = 'of' in node ? node.of.reduce((sum, each) => sum + children(each), 0) : 0
  return below + (node.do === 'child' ? 1 : 0)
}

type Action = { readonly advance: number } | { readonly signal: string } | 'cancel'

const action: fc.Arbitrary<Action> = fc.oneof(
  { arbitrary: fc.record({ advance: fc.integer({ min: 1, max: 40 }) }), weight: 4 },
  { arbitrary: fc.record({ signal: fc.constantFrom('x', 'y') }), weight: 4 },
  { arbitrary: fc.constant('cancel' as const), weight: 1 },
)

const marks = new Set(['StepScheduled', 'TimerStarted', 'TimerCancelled'])

/** What happened, without times, and with names for run ids. */
async function played(env: TestEnv, input: Node, actions: readonly Action[]): Promise<unknown> {
  const said: string[] = []
  const run = await env.stet.start(program, input)
  await env.clock.advance(1)
  for (const each of actions) {
    if (each === 'cancel') await run.cancel('enough').catch(({ code }) => said.push(code))
    else if ('signal' in each) await run.signal(each.signal, 'hello').catch(({ code }) => said.push(code))
    // Some seconds more, so that no message comes at the time of a wait's end.
    else await env.clock.advance(each.advance * minute + 5_000)
    await env.clock.advance(1)
  }
  await env.clock.runToIdle()
  return { said, runs: await family(await env.stet.internals<Store>(), run.runId) }
}

/** A run and those that it started, each with its history. */
async function family({ store }: { store: Store }, root: string): Promise<unknown[]> {
  // Run ids are random: named after the operation that started them.
  const names = new Map([[root, 'run']])
  const plain = (text: string | null) => {
    let told = text?.replaceAll(/"stack":"(?:\\.|[^"])*"/g, '') ?? ''
    for (const [runId, name] of names) told = told.replaceAll(runId, name)
    return told
  }
  const found: { label: string; status: string; events: RecordedEvent[] }[] = []
  for (const [runId, label] of names) {
    const events = (await store.history(runId)).filter(({ type }) => !marks.has(type))
    for (const { type, op, facts } of events) if (type === 'ChildStarted') names.set(facts!.runId!, `${label}.${op}`)
    found.push({ label, status: (await store.find(runId))!.status, events })
  }
  return found.map(({ label, status, events }) => {
    const told = events.map(({ type, op, name, payload, facts }) =>
      [type, op, plain(name), plain(payload), facts?.causes, facts?.kind, facts?.reason].join(' '),
    )
    return [label, status, told]
  })
}

test('random programs leave the same histories on both stores', async () => {
  const seen = new Set<string>()
  const [postgres, memory] = databases.map((on) => testEnv({ ...on, workflows: [program] }))
  await using one = await postgres!
  await using two = await memory!
  await fc.assert(
    fc.asyncProperty(node, fc.array(action, { maxLength: 5 }), async (tree, actions) => {
      const input = timed({ do: 'seq', of: [tree] })
      // Several children that a cancellation ends at one moment tell of it in the order of real time.
      const drive = children(input) > 1 ? actions.filter((each) => each !== 'cancel') : actions
      const [expected, got] = await Promise.all([played(one, input, drive), played(two, input, drive)])
      expect(got).toEqual(expected)
      for (const [type] of JSON.stringify(got).matchAll(/[A-Z]\w+/g)) seen.add(type)
    }),
    // By chance alone one of forty programs is not always sent what it waits for.
    { numRuns: 40, examples: [[{ do: 'signal', name: 'x', minutes: 0 }, [{ signal: 'x' }]]] },
  )
  // The programs are worth something only if much happens in them.
  for (const type of [
    'StepCompleted',
    'StepFailed',
    'TimerFired',
    'SignalReceived',
    'ChildStarted',
    'ChildCompleted',
  ]) {
    expect(seen).toContain(type)
  }
})
