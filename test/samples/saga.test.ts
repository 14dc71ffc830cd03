import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Handle, RunFailedError, TimeoutFailure } from 'stet'
import { crashEverywhere, testEnv } from 'stet/testing'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { confirm, type Part, trip } from '../../samples/saga.js'

const folder = mkdtempSync(join(tmpdir(), 'stet-saga-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const rome = { traveller: 'ada', to: 'Rome', folder }
const url = inject('serverUrl')
const open = (steps = {}) => testEnv({ workflows: [trip], url, steps })
const parts: Part[] = ['flight', 'hotel', 'car']

/** What the booking offices say. */
function books({ runId }: Handle<unknown>): Record<string, string> {
  return Object.fromEntries(
    parts.flatMap((part) => {
      const file = join(folder, runId, `${part}.json`)
      return existsSync(file) ? [[part, JSON.parse(readFileSync(file, 'utf8')).status]] : []
    }),
  )
}
async function undone(run: Handle<unknown>): Promise<string[]> {
  return (await run.history()).flatMap(({ type, name }) =>
    type === 'StepCompleted' && name?.startsWith('cancel ') ? [name.slice('cancel '.length)] : [],
  )
}

test('a trip that is confirmed is booked, and nothing is undone', async () => {
  await using env = await open()
  const run = await env.stet.start(trip, rome)
  await env.clock.advance('23h')
  expect((await run.describe()).status).toBe('waiting')
  await run.signal(confirm, { by: 'ada' })
  const booked = await run.result()
  expect(Object.keys(booked)).toEqual(parts)
  expect(books(run)).toEqual({ flight: 'booked', hotel: 'booked', car: 'booked' })
  expect(JSON.parse(readFileSync(join(folder, run.runId, 'tickets.json'), 'utf8'))).toEqual({ by: 'ada', ...booked })
  expect(await undone(run)).toEqual([])
})

describe('is undone in reverse order', () => {
  test.each([
    ['flight', ['flight']],
    ['hotel', ['hotel', 'flight']],
    ['car', ['car', 'hotel', 'flight']],
  ] as const)('when there is no %s', async (soldOut, expected) => {
    await using env = await open()
    const run = await env.stet.start(trip, { ...rome, soldOut })
    const failure = await run.result().catch((error) => error)
    expect(failure).toBeInstanceOf(RunFailedError)
    expect(failure.cause).toMatchObject({ step: `book ${soldOut}`, attempts: 1 })
    expect(await undone(run)).toEqual(expected)
    expect(books(run)).toEqual(Object.fromEntries(expected.map((part) => [part, 'cancelled'])))
  })

  test('when nobody confirms within a day', async () => {
    await using env = await open()
    const run = await env.stet.start(trip, rome)
    await env.clock.advance('1d')
    const failure = await run.result().catch((error) => error)
    expect(failure.cause).toBeInstanceOf(TimeoutFailure)
    expect(await undone(run)).toEqual(['car', 'hotel', 'flight'])
  })

  test('when it is cancelled, waiting for the traveller', async () => {
    await using env = await open()
    const run = await env.stet.start(trip, rome)
    await env.clock.advance('1h')
    await run.cancel('ill')
    expect(await run.result().catch((error) => error)).toMatchObject({ code: 'run_cancelled' })
    expect(await undone(run)).toEqual(['car', 'hotel', 'flight'])
    expect(books(run)).toEqual({ flight: 'cancelled', hotel: 'cancelled', car: 'cancelled' })
  })

  test('when it is cancelled in the middle of a booking', async () => {
    let answer!: () => void
    let asked!: () => void
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const hotel = () =>
      new Promise<void>((resolve) => {
        answer = resolve
        asked()
      })
    await using env = await open({ 'book hotel': hotel })
    const run = await env.stet.start(trip, rome)
    await isAsked
    await run.cancel()
    expect(await run.result().catch((error) => error)).toMatchObject({ code: 'run_cancelled' })
    expect(await undone(run)).toEqual(['hotel', 'flight'])
    expect(books(run)).toEqual({ flight: 'cancelled', hotel: 'cancelled' })
    answer()
  })
})

test('a crash at any point changes nothing', async () => {
  const { crashPoints, outcomes } = await crashEverywhere(trip, { ...rome, soldOut: 'car' }, { url })
  // Before, after its effect and after its record: three bookings, three that were undone.
  expect({ crashPoints, outcomes }).toEqual({ crashPoints: 18, outcomes: 1 })
})
