/**
 * The checkers can fail: engines with a fault that was built in on purpose, each against one of the invariants that hold
 * the house up, are found out; the engine as it is passes.
 */
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { EngineCopy, type Fault, withChanges } from '../support/engine-copy.js'

const program = fileURLToPath(new URL('./wrong-engine.fixture.ts', import.meta.url))
let copy: EngineCopy | null = null
afterEach(() => copy?.remove())

async function check(faults: readonly Fault[], ...args: string[]): Promise<any> {
  copy = await EngineCopy.of(faults)
  return copy.run(program, ...args)
}

/** E1: what is about to be written is delivered, and written after that. */
const appendAfterApply: Fault = {
  file: 'worker/flusher.ts',
  changes: [
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a piece of source text
      'this.#store.append(this.#workerId, `${this.#workerId}.${++this.#batches}`, batch).then(',
      `for (const log of logs) {
        for (const event of log.inFlight!) (event as { at: number }).at = Date.now()
        log.onCommitted(log.inFlight!)
      }
      const later = new Promise<void>((resolve) => setTimeout(resolve, 20))
      later.then(() => this.#store.append(this.#workerId, \`\${this.#workerId}.\${++this.#batches}\`, batch)).then(`,
    ],
    ['log.onCommitted(events)', 'log.onCommitted([])'],
  ],
}

/** E1: on replay results come in the order in which they were asked for. */
const completionOrderLost: Fault = {
  file: 'core/execution.ts',
  changes: [
    [
      'deliverRecorded(events: readonly RecordedEvent[], done: () => void, history = events): void {',
      `deliverRecorded(events: readonly RecordedEvent[], done: () => void, history = events): void {
      const results = events.filter(({ type }) => type === 'StepCompleted').sort((a, b) => a.op! - b.op!)
      const asked = (event: RecordedEvent) => ({ ...results.shift()!, seq: event.seq, at: event.at })
      events = events.map((event) => (event.type === 'StepCompleted' ? asked(event) : event))`,
    ],
  ],
}

/** A1, A2: neither the worker's row nor the run's owner is asked for. */
const fenceRemoved: Fault = {
  file: 'store/postgres/appends.ts',
  changes: [
    ['FROM stet_store.workers WHERE id = $1 FOR KEY SHARE)`', "WHERE $1 <> '')`"],
    ["AND coalesce(r.owner, '') = $1 AND r.claim = u.claim", ''],
  ],
}

const sound = {
  draw: { crashPoints: 6, expected: 6, outcomes: 1 },
  race: { crashPoints: 7, expected: 7, outcomes: 1 },
  orders: { orders: 2, outcomes: 2, complete: true },
}

describe('finds a fault in the engine', () => {
  test('none in the engine as it is', async () => {
    expect(await check([])).toMatchObject(sound)
  })

  test('events that the function sees before they are durable', async () => {
    const { draw } = await check([appendAfterApply])
    expect(draw).toMatchObject({ code: 'crash_outcome', message: expect.stringMatching(/step "note"/) })
    expect(draw.message).toMatch(/expected: completed with true\n {2}got: {6}completed with false/)
  })

  test('replays that lose the order of completion', async () => {
    const { race, orders } = await check([completionOrderLost])
    for (const each of [race, orders]) expect(each).toMatchObject({ code: 'nondeterminism' })
    expect(race.message).toMatch(/live: {3}the run completed with "ba"\n {2}replay: the run completed with "ab"/)
  })

  test('writes of a lost worker that are accepted', async () => {
    const { draw } = await check([fenceRemoved], inject('serverUrl'))
    expect(draw).toMatchObject({ code: 'crash_fence', message: expect.stringMatching(/an event was accepted/) })
  })

  test('none in the engine as it is, on Postgres', async () => {
    expect(await check([], inject('serverUrl'))).toMatchObject(sound)
  })
})

test('a fault that does not fit the code any more is told, not passed over', () => {
  expect(() => withChanges('a.ts', 'one two', [['three', '']])).toThrow(/found it 0 times/)
  expect(() => withChanges('a.ts', 'one one', [['one', '']])).toThrow(/found it 2 times/)
})
