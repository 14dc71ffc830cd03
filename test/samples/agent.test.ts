import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunFailedError } from 'stet'
import { crashEverywhere, testEnv } from 'stet/testing'
import { afterAll, expect, inject, test } from 'vitest'
import { agent, agentWith, type Call, decide, type Message, progress } from '../../samples/agent.js'
import { long } from '../support/long.js'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
function papers(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stet-agent-test-'))
  folders.push(folder)
  writeFileSync(join(folder, 'plan.txt'), 'DRAFT of a plan')
  writeFileSync(join(folder, 'letter.txt'), 'DRAFT of a letter')
  writeFileSync(join(folder, 'report.txt'), 'The report')
  return folder
}
const url = inject('serverUrl')
const goal = 'delete the drafts'

test('reads side by side, deletes what a person approves, and leaves what is denied', async () => {
  await using env = await testEnv({ workflows: [agent], url })
  const folder = papers()
  const run = await env.stet.start(agent, { goal, folder })
  // Nobody has asked for this: it approves nothing.
  await run.signal(decide, { call: 'delete report.txt', approved: true, by: 'eve' })
  await run.signal('decide')
  await env.clock.advance('1h')

  const { turn, undecided, messages } = await run.query(progress)
  expect({ turn, undecided: undecided.map(({ id }) => id) }).toEqual({
    turn: 3,
    undecided: ['delete letter.txt', 'delete plan.txt'],
  })
  expect(messages.filter(({ role }) => role === 'tool')).toHaveLength(4)
  expect(readdirSync(folder)).toHaveLength(3)

  await run.signal(decide, { call: 'delete plan.txt', approved: true, by: 'ada' })
  await env.clock.advance('1h')
  expect((await run.query(progress)).undecided.map(({ id }) => id)).toEqual(['delete letter.txt'])
  expect(readdirSync(folder).sort()).toEqual(['letter.txt', 'report.txt'])
  await run.signal(decide, { call: 'delete letter.txt', approved: false, by: 'bob', note: 'still needed' })

  expect(await run.result()).toEqual({ answer: 'Of 3 files 2 were drafts; 1 are deleted.', turns: 4 })
  expect((await run.query(progress)).messages.at(-3)).toMatchObject({ result: 'denied by bob: still needed' })
  expect(readdirSync(folder).sort()).toEqual(['letter.txt', 'report.txt'])
  const { edges } = await run.graph()
  expect(edges.filter(({ from }) => from === 'model#2').map(({ to }) => to)).toEqual(['read', 'read#2', 'read#3'])
})

test('what nobody decides on within a day is denied', async () => {
  await using env = await testEnv({ workflows: [agent], url })
  const folder = papers()
  const run = await env.stet.start(agent, { goal, folder })
  await env.clock.advance('23h')
  expect((await run.describe()).status).toBe('waiting')
  await env.clock.advance('1h')
  expect(await run.result()).toMatchObject({ answer: 'Of 3 files 2 were drafts; 0 are deleted.' })
  expect(readdirSync(folder)).toHaveLength(3)
})

test('a model of your own is told what its calls came to, and is stopped after so many turns', async () => {
  const seen: Message[] = []
  const calls: Call[] = [
    { id: '1', tool: 'read', file: '../secret.txt' },
    { id: '2', tool: 'toString' },
    { id: '3', tool: 'read', file: 'report.txt' },
  ]
  const curious = agentWith('curious', async (messages) => {
    seen.splice(0, seen.length, ...messages)
    return { text: 'more', calls }
  })
  await using env = await testEnv({ workflows: [curious], url })
  const run = await env.stet.start(curious, { goal: 'look around', folder: papers(), maxTurns: 2 })
  const failure = await run.result().catch((error) => error)
  expect(failure).toBeInstanceOf(RunFailedError)
  expect(failure.cause.message).toBe('no answer after 2 turns')
  expect(seen.flatMap((message) => (message.role === 'tool' ? [message.result] : []))).toEqual([
    'error: "../secret.txt" is no name of a file in the folder',
    'error: there is no tool "toString"',
    'The report',
  ])
})

test('a crash at any point changes nothing', async () => {
  const folder = papers()
  const { crashPoints, outcomes } = await crashEverywhere(
    agent,
    { goal, folder },
    {
      // On Postgres each of the 34 executions takes its time.
      ...(long ? { url } : { database: 'memory' }),
      // So that each execution finds the same files.
      steps: { delete: async () => 'deleted' },
      drive: async (run, env) => {
        await env.clock.advance('1h')
        for (const { id } of (await run.query(progress)).undecided) {
          await run.signal(decide, { call: id, approved: true, by: 'ada' })
        }
        await env.clock.advance('1h')
      },
    },
  )
  // Four times the model, one list, three reads, two deletions: before, after the effect, after the record.
  // And between the settlements of the three reads (2) and of the two deletions (1).
  expect({ crashPoints, outcomes }).toEqual({ crashPoints: 33, outcomes: 1 })
})
