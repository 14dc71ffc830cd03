/** What becomes of a run that awaits something which is not recorded. */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodies, broken, brokenLater, closePool, laterTold, places } from '../fixtures/unrecorded.js'
import { house } from '../support/house.js'

const { db, stet, work, reached } = await house()
const source = readFileSync(new URL('../fixtures/unrecorded.ts', import.meta.url), 'utf8').split('\n')
const lineOf = (name: string) => source.findIndex((line) => line.endsWith(`// ${name}`)) + 1

let server: Server
beforeAll(async () => {
  server = createServer((_, response) => setTimeout(() => response.end('hello'), 20))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  places.http = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  places.database = db.url
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await closePool()
})

describe('an await that is not recorded blocks the run and is named with its line', () => {
  test.each(Object.keys(bodies))('%s', async (name) => {
    const flow = broken.find((each) => each.name === name)!
    await work([flow])
    const run = await stet.start(flow)
    const { problem } = await reached(run, 'blocked')
    expect(problem?.code).toBe('unrecorded_await')
    expect(problem?.where).toBe(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
    expect(problem?.message).toContain(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
    expect(problem?.message).toContain('ctx.step')
  })
})

describe('an own promise that never settles, beside a watched sleep, is told of when the sleep ends', () => {
  test.each(Object.keys(laterTold))('%s', async (name) => {
    const flow = brokenLater.find((each) => each.name === name)!
    await work([flow])
    const run = await stet.start(flow, 30)
    const { problem } = await reached(run, 'blocked')
    expect(problem?.where).toBe(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
  })
})
