/** `stet schedule`, and schedules of a config, as people use them. */
import { expect, test } from 'vitest'
import { eventually } from '../support/harness.js'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

const database = await testDatabase()
const cwd = project('module', {
  'workflows/report.ts': `
    import { workflow } from 'stet'
    export const report = workflow('report', async (ctx, input: { of: string }) => input.of + ' ' + ctx.run.scheduledFor!.toISOString())
  `,
})
const place = { cwd, url: database.url }

test('next, of times that are no schedule yet, needs no database', async () => {
  const dry = [
    'schedule',
    'next',
    '--cron',
    '30 2 * * *',
    '--time-zone',
    'Europe/Berlin',
    '-n',
    '2',
    '--after',
    '2026-03-28T12:00:00Z',
  ]
  const nowhere = { cwd, url: 'postgres://nobody@127.0.0.1:1/none' }
  expect((await stet(dry, nowhere)).stdout).toBe(
    '2026-03-29T01:00:00.000Z  Sun 2026-03-29 03:00:00 Europe/Berlin\n2026-03-30T00:30:00.000Z  Mon 2026-03-30 02:30:00 Europe/Berlin\n',
  )
  const { next } = await stetJson([...dry, '--json'], nowhere)
  expect(next).toEqual(['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'])
  const calendars = '{"calendars": [{"daysOfMonth": -1, "hours": 18}]}'
  expect(
    (
      await stetJson(
        ['schedule', 'next', '--times', calendars, '-n', '1', '--after', '2026-02-01T00:00:00Z', '--json'],
        nowhere,
      )
    ).next,
  ).toEqual(['2026-02-28T18:00:00.000Z'])
  const wrong = await stet(['schedule', 'next', '--cron', '0 0 30 2 *'], nowhere)
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('never fire (0 0 30 2 *)')])
  expect((await stet(['schedule', 'next'], nowhere)).code).toBe(2)
})

test('made, looked at, changed, fired, deleted', async () => {
  const run = (...args: string[]) => stet(['schedule', ...args], place)
  const json = (...args: string[]) => stetJson(['schedule', ...args, '-o', 'json'], place)
  expect((await run('list')).stderr).toContain('there are no schedules. Make one: stet schedule create')
  const made = await run(
    'create',
    'nightly',
    'report',
    '--cron',
    '0 3 * * *',
    '--time-zone',
    'Europe/Berlin',
    '--input',
    '{"of":"night"}',
    '--note',
    'by ops',
  )
  expect(made.stderr).toMatch(/made: nightly; it fires next at \d{4}-/)
  expect((await run('create', 'nightly', 'report', '--every', '1h')).code).toBe(1)
  expect((await run('create', 'bad', 'report', '--cron', 'often')).stderr).toContain('cron: expected five fields')
  expect((await json('list')).schedules).toMatchObject([
    { id: 'nightly', workflow: 'report', times: 'cron 0 3 * * *', source: 'call' },
  ])
  expect((await run('list')).stdout).toContain('Europe/Berlin')
  await run('pause', 'nightly', '--note', 'broken disk')
  expect((await run('list')).stdout).toMatch(/nightly.*paused.*broken disk/)
  await run('resume', 'nightly')
  expect(
    (await json('update', 'nightly', '--cron', '0 4 * * *', '--time-zone', 'UTC', '--overlap', 'allow')).updated,
  ).toEqual(['cron', 'timeZone', 'overlap'])
  expect((await run('update', 'nightly')).code).toBe(2)
  expect((await json('next', 'nightly', '-n', '3')).next).toHaveLength(3)

  const triggered = await json('trigger', 'nightly')
  expect(triggered).toMatchObject({ id: expect.stringMatching(/^nightly@/), buffered: false })
  expect(await json('backfill', 'nightly', '--from', '3d')).toEqual({
    id: 'nightly',
    started: 3,
    buffered: 0,
    skipped: 0,
    existing: 0,
  })
  const shown = await json('show', 'nightly')
  expect(shown).toMatchObject({
    id: 'nightly',
    overlap: 'allow',
    input: { of: 'night' },
    times: 'cron 0 4 * * *',
    note: 'broken disk',
  })
  expect(shown.fires.map(({ via }: any) => via)).toEqual(['trigger', 'backfill', 'backfill', 'backfill'])
  expect((await run('show', 'nightly')).stdout).toContain(`${triggered.id} (pending)`)
  // What a run was started for is told where runs are looked at.
  expect((await stet(['show', triggered.id], place)).stdout).toMatch(/schedule +nightly for 20/)
  expect((await stet(['why', triggered.id], place)).code).toBe(0)

  expect((await run('delete', 'nightly')).code).toBe(0)
  expect((await run('delete', 'nightly')).code).toBe(3)
  expect((await run('show', 'nightly')).stderr).toContain('no schedule has the id "nightly"')
})

test('those of the config are made when a worker starts, changed with it, deleted with it; others stay', async () => {
  const config = (schedules: string) =>
    write(
      cwd,
      'stet.config.ts',
      `import { defineConfig } from 'stet'\nexport default defineConfig({ schedules: ${schedules} })`,
    )
  const made = () =>
    stetJson(['schedule', 'list', '--json'], place).then(({ schedules }) =>
      schedules.map((each: any) => [each.id, each.times, each.source]),
    )
  const worker = async () => {
    const started = new Process(['worker'], place)
    await eventually('the worker has set its schedules', async () => started.stderr.includes('schedules of the config'))
    return started
  }
  await stet(['schedule', 'create', 'own', 'report', '--cron', '@yearly'], place)
  config(
    `{ often: { workflow: 'report', every: '1s', overlap: 'allow', input: { of: 'config' } }, rare: { workflow: 'report', cron: '@monthly' } }`,
  )
  const first = await worker()
  expect(await made()).toEqual([
    ['often', 'every 1s', 'config'],
    ['own', 'cron @yearly', 'call'],
    ['rare', 'cron @monthly', 'config'],
  ])
  await eventually('it fires', () =>
    database
      .query(`SELECT FROM stet.runs WHERE workflow = 'report' AND status = 'completed' AND id LIKE 'often@%'`)
      .then(({ rowCount }) => rowCount! > 1),
  )
  first.child.kill('SIGTERM')
  await first.ended
  config(`{ rare: { workflow: 'report', cron: '@weekly' } }`)
  const second = await worker()
  second.child.kill('SIGTERM')
  await second.ended
  expect(await made()).toEqual([
    ['own', 'cron @yearly', 'call'],
    ['rare', 'cron @weekly', 'config'],
  ])
  config(`{ rare: { workflow: 'report', cron: '* * *' } }`)
  const wrong = await stet(['worker', '--once'], place)
  expect([wrong.code, wrong.stderr]).toEqual([
    1,
    expect.stringContaining('schedules "rare": cron: expected five fields'),
  ])
})
