/** Show 6 of replay debugging: every command of it, on every kind of run and of mistake. */
import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { type Ended, project, stet, write } from './support.js'

let place: { cwd: string; url: string }

const code = `import { workflow } from 'stet'

export const parcel = workflow('parcel', async (ctx, to: string) => {
  const label = await ctx.step('label', () => to + '!')
  const go = await ctx.waitForSignal('go')
  await ctx.step('ship', () => go)
  return label
})
`

beforeAll(async () => {
  const { url } = await testDatabase()
  place = {
    cwd: project('module', {
      'workflows/parcel.ts': code,
      'other.ts': code.replaceAll('parcel', 'letter'),
      'corrupt.json': '{"format": "stet-history-1", "run"',
      'foreign.json': '{"name": "app", "version": "1.0.0"}',
      'broken.ts': 'export const parcel = (',
    }),
    url,
  }
  await stet(['start', 'parcel', '-i', '"Rome"', '--id', 'done'], place)
  await stet(['start', 'parcel', '-i', '"Oslo"', '--id', 'open'], place)
  await stet(['signal', 'done', 'go', '1'], place)
  await stet(['worker', '--once'], place)
  await stet(['export', 'done', '-f', 'done.json'], place)
})

/** How each command is called for one run; `w`: with these workflow files. */
const commands: Record<string, { args: (run: string) => string[]; w: (file: string) => string[]; readsCode: boolean }> =
  {
    replay: { args: (run) => ['replay', run], w: (file) => ['-w', file], readsCode: true },
    check: { args: (run) => ['check', '--run', run], w: (file) => [file], readsCode: true },
    fork: { args: (run) => ['fork', run, '--at', 'label'], w: () => [], readsCode: false },
    why: { args: (run) => ['why', run], w: () => [], readsCode: false },
    diff: { args: (run) => ['diff', run, run], w: () => [], readsCode: false },
    'diff --against': {
      args: (run) => ['diff', run, '--against', 'workflows/parcel.ts'],
      w: (file) => ['-w', file],
      readsCode: true,
    },
  }

describe.each(Object.entries(commands))('%s', (name, { args, w, readsCode }) => {
  const call = (run: string, file?: string): Promise<Ended> => {
    const [command, ...rest] = args(run)
    return stet(
      file === undefined ? args(run) : name === 'check' ? [command!, ...w(file), ...rest] : [...args(run), ...w(file)],
      place,
    )
  }

  test('--help has an example', async () => {
    const { code, stdout } = await stet([name.split(' ')[0]!, '--help'], place)
    expect(code).toBe(0)
    expect(stdout).toMatch(/Examples?:\n {2}\$ stet /)
  })

  test.each([
    ['a closed run of the database', 'done'],
    ['a run in progress', 'open'],
    ['an exported file', 'done.json'],
  ])('%s', async (_, run) => {
    const { code, stdout, stderr } = await call(run)
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trim()).not.toBe('')
  })

  test('a run that is not there: 3, and its name', async () => {
    expect(await call('nobody')).toMatchObject({ code: 3, stderr: expect.stringContaining('nobody') })
  })

  test.each([
    ['a file that is not there', 'missing.json', 'missing.json'],
    ['a corrupt file', 'corrupt.json', 'corrupt.json'],
    ['a file of something else', 'foreign.json', 'foreign.json'],
  ])('%s: 2, and its name', async (_, file, said) => {
    const { code, stderr } = await call(file)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(said) })
  })

  if (!readsCode) return

  test('a workflow that is not in the files: says so, and what they define', async () => {
    const { code, stdout, stderr } = await call('done', 'other.ts')
    expect(code).not.toBe(0)
    expect(stdout + stderr).toContain('letter')
    expect(stdout + stderr).toContain('parcel')
  })

  test('files that cannot be loaded: 1, the file and what is wrong with it', async () => {
    expect(await call('done', 'broken.ts')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cannot load broken.ts'),
    })
  })
})

test('what was written by an older format says what is expected', async () => {
  write(place.cwd, 'old.json', JSON.stringify({ format: 'stet-history-0', run: {}, events: [] }))
  const { code, stderr } = await stet(['replay', 'old.json'], place)
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/format.*stet-history-1/) })
})
