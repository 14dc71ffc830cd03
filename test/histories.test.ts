/** What every release has recorded still replays (`histories/README.md`). */
import { readdirSync, readFileSync } from 'node:fs'
import { type Ctx, workflow } from 'stet'
import { replayHistory } from 'stet/testing'
import { describe, expect, test } from 'vitest'
import { decode, decodeError } from '../src/core/codec.js'
import type { EventType, RecordedEvent } from '../src/core/events.js'
import { fromHistoryFile } from '../src/core/history-file.js'
import { workflows } from './histories/scenarios.js'

const folder = new URL('./histories/', import.meta.url)
const releases = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
)
const recorded = releases.flatMap((release) =>
  readdirSync(new URL(`${release}/`, folder)).map((file) => {
    const text = readFileSync(new URL(`${release}/${file}`, folder), 'utf8')
    return { file: `${release}/${file}`, text, ...fromHistoryFile(JSON.parse(text), file) }
  }),
)

/** A type that is not here is not in `EventType` either: the compiler sees to it. */
const types: Record<EventType, true> = {
  RunStarted: true,
  RunCompleted: true,
  RunFailed: true,
  RunCancelled: true,
  RunTerminated: true,
  RunContinued: true,
  StepScheduled: true,
  StepCompleted: true,
  StepFailed: true,
  AttemptFailed: true,
  StepSkipped: true,
  TimerStarted: true,
  TimerFired: true,
  TimerCancelled: true,
  SignalReceived: true,
  UpdateReceived: true,
  UpdateCompleted: true,
  UpdateRejected: true,
  ChildStarted: true,
  ChildCompleted: true,
  ChildFailed: true,
  CancelRequested: true,
  PatchMarked: true,
  AttributesSet: true,
}

function workflowOf({ workflow, version }: { workflow: string; version: number }) {
  const found = workflows.find((each) => each.name === workflow && each.version === version)
  if (found === undefined) throw new Error(`no workflow "${workflow}" of version ${version} is kept`)
  return found
}

/** How the run ended, by its last event alone. */
function outcomeOn({ type, payload, facts }: RecordedEvent): object {
  // What was no doing of the code is not among what its replay comes to.
  if (type === 'RunTerminated' || type === 'RunContinued' || facts?.kind === 'timeout') return {}
  // The function was never called; a replay calls it, and cancels it at once.
  if (facts?.neverBegan) return { error: expect.objectContaining({ name: 'CancelledFailure' }) }
  if (type === 'RunCompleted') return { output: decode(payload) }
  if (type !== 'RunFailed' && type !== 'RunCancelled') return {}
  const { name, message } = decodeError(payload!)
  return { error: expect.objectContaining({ name, message }) }
}

describe('a recorded history replays', () => {
  test.each(recorded)('$file', async ({ text, run, events }) => {
    const replayed = await replayHistory(text, workflowOf(run))
    expect(replayed.mismatch).toBeUndefined()
    expect(replayed).toEqual({ status: run.status, ...outcomeOn(events.at(-1)!) })
  })
})

test.each(releases)('%s has recorded every type of event', (release) => {
  const own = recorded.filter(({ file }) => file.startsWith(`${release}/`))
  const found = new Set(own.flatMap(({ events }) => events.map(({ type }) => type)))
  expect(Object.keys(types).filter((type) => !found.has(type as EventType))).toEqual([])
})

test('there is a release, and every workflow that is kept has a history', () => {
  expect(releases).toContain('0.1.0')
  const names = new Set(recorded.map(({ run }) => `${run.workflow}@${run.version}`))
  expect(workflows.map(({ name, version }) => `${name}@${version}`).filter((name) => !names.has(name))).toEqual([])
})

describe('a workflow that was changed is told', () => {
  const { text } = recorded.find(({ file }) => file === '0.1.0/maps.1.maps.json')!
  const fn = (n: number) => () => (n < 0 ? Promise.reject(new RangeError()) : Promise.resolve(n * n))
  const first = (name: string) => (ctx: Ctx, items: number[]) =>
    ctx.map(
      'all',
      items.filter((n) => n >= 0),
      { concurrency: 2 },
      (n) => ctx.step(name, fn(n)),
    )

  test('by the step that it asks for under another name', async () => {
    const { status, mismatch } = await replayHistory(text, workflow('maps', first('square')))
    expect(status).toBe('blocked')
    expect(mismatch).toMatchObject({ expected: 'operation 1: step "item"', actual: 'operation 1: step "square"' })
    expect(mismatch!.where).toMatch(/^test\/histories\.test\.ts:\d+$/)
  })

  test('by its end, if it asks for less', async () => {
    const { status, mismatch } = await replayHistory(text, workflow('maps', first('item')))
    expect(status).toBe('blocked')
    expect(mismatch).toMatchObject({ expected: 'operation 5: step "item"' })
  })

  test('by what it returns', async () => {
    const shape = recorded.find(({ file }) => file === '0.1.0/rounds.3.rounds.json')!
    const other = workflow('rounds', async (ctx: Ctx, { words }: { words: string[] }) => {
      const next = await ctx.waitForSignal<string>('word')
      return [next, ...words]
    })
    expect((await replayHistory(shape.text, other)).mismatch).toMatchObject({
      seq: 3,
      expected: expect.stringContaining('["one","two","three"]'),
      actual: expect.stringContaining('["three","one","two"]'),
    })
  })
})
