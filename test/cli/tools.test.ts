/** init, migrate, db, doctor. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { databaseUrl, onServer, testDatabase } from '../support/server.js'
import { type Kind, Process, project, root, stet, stetJson, write } from './support.js'

async function emptyDatabase(): Promise<string> {
  const serverUrl = inject('serverUrl')
  const name = `t_${randomBytes(6).toString('hex')}`
  await onServer(serverUrl, `CREATE DATABASE ${name}`)
  afterAll(() => onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  return databaseUrl(serverUrl, name)
}

describe.each<[Kind, string]>([
  ['module', 'ts'],
  ['commonjs', 'mts'],
  ['none', 'mts'],
])('init in a package of type %s', (kind, ts) => {
  test('what it writes runs and passes tsc; a second time nothing is touched', async () => {
    const { url } = await testDatabase()
    const cwd = project(kind)
    const place = { cwd, url }
    const { code, stdout, stderr } = await stet(['init'], place)
    expect(code).toBe(0)
    expect(stderr).toContain('npx stet dev')
    const names = [`workflows/hello.${ts}`, `workflows/hello.test.${ts}`, `stet.config.${ts}`, '.vscode/launch.json']
    expect(stdout).toBe(names.map((name) => `wrote   ${name}\n`).join(''))
    const launch = JSON.parse(readFileSync(join(cwd, '.vscode/launch.json'), 'utf8'))
    expect(launch.configurations[0]).toMatchObject({
      type: 'node',
      runtimeArgs: ['stet', 'replay', '$' + '{input:runId}', '--inspect'],
    })

    const before = names.map((name) => readFileSync(join(cwd, name), 'utf8'))
    write(cwd, names[0]!, `${before[0]}// mine\n`)
    expect(await stetJson(['init'], place)).toEqual({ folder: cwd, written: [], skipped: names })
    expect(readFileSync(join(cwd, names[0]!), 'utf8')).toBe(`${before[0]}// mine\n`)

    const options = [
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--types',
      'node',
      '--typeRoots',
      join(root, 'node_modules/@types'),
    ]
    const sources = [names[0]!, names[2]!].map((name) => join(cwd, name))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    // To tsc a package that does not say is a CommonJS one.
    if (kind !== 'none') {
      expect(execFileSync(process.execPath, [tsc, ...options, ...sources], { cwd }).toString()).toBe('')
    }

    const worker = new Process(['worker'], place)
    await worker.until(/worker started/)
    const { output, id } = await stetJson(['start', 'hello', '-i', '"world"', '--wait'], place)
    expect(output).toBe('HELLO, WORLD!')
    expect((await stet(['replay', id], place)).stdout).toContain('"HELLO, WORLD!", as recorded')
    worker.kill('SIGTERM')
    expect((await worker.ended).code).toBe(0)
  })
})

test('init from a folder inside the project, beside a config of another kind', async () => {
  const cwd = project('module', { 'stet.config.mjs': 'export default {}\n', 'src/x.txt': '' })
  const done = await stetJson(['init'], { cwd: join(cwd, 'src') })
  expect(done.folder).toBe(cwd)
  expect(done.skipped).toEqual(['stet.config.mjs'])
  expect(readdirSync(join(cwd, 'workflows'))).toEqual(['hello.test.ts', 'hello.ts'])
  expect(existsSync(join(cwd, 'stet.config.ts'))).toBe(false)
})

test('migrate: an empty database, then nothing to do', async () => {
  const place = { cwd: project('module'), url: await emptyDatabase() }
  const first = await stetJson(['migrate'], place)
  expect(first.applied).toBe(first.migration)
  expect(first.migration).toBeGreaterThan(0)
  const again = await stet(['migrate'], place)
  expect(again).toMatchObject({ code: 0, stdout: '' })
  expect(again.stderr).toContain(`nothing to do: the schema is at migration ${first.migration}`)
})

test('db: start, url, status, path, stop, reset', async () => {
  const cwd = project('module')
  const place = { cwd, env: { STET_DATA_DIR: join(cwd, 'pg') } }
  expect(await stetJson(['db', 'status'], place)).toMatchObject({ running: false })
  const started = await stetJson(['db', 'start'], place)
  expect(started).toMatchObject({ started: true, port: expect.any(Number), pid: expect.any(Number) })
  const [url, status, path, again] = await Promise.all([
    stet(['db', 'url'], place),
    stet(['db', 'status'], place),
    stet(['db', 'path'], place),
    stetJson(['db', 'start'], place),
  ])
  expect(url.stdout).toMatch(/^postgres:\/\/\S+\n$/)
  expect(url.stdout).toContain(String(started.port))
  expect(status.stdout).toContain(`running: Postgres ${started.version}, port ${started.port}, pid ${started.pid}`)
  expect(path.stdout).toBe(`${started.dataDir}\n`)
  expect(again).toMatchObject({ started: false, pid: started.pid })
  expect(await stetJson(['db', 'stop'], place)).toEqual({ stopped: true })
  expect(await stetJson(['db', 'stop'], place)).toEqual({ stopped: false })
  expect(existsSync(started.dataDir)).toBe(true)
  expect((await stet(['db', 'reset'], place)).code).toBe(2)
  expect(existsSync(started.dataDir)).toBe(true)
  expect(await stetJson(['db', 'reset', '--yes'], place)).toEqual({ deleted: started.dataDir })
  expect(existsSync(started.dataDir)).toBe(false)
})

describe('doctor', () => {
  const one = `import { workflow } from 'stet'\nexport const one = workflow('one', { version: 3 }, async () => 1)\n`
  const find = (report: any, check: string) => report.findings.filter((each: any) => each.check === check)

  test('a healthy place; what is off is named with what to do', async () => {
    const { url, query } = await testDatabase()
    const place = { cwd: project('module', { 'workflows/one.ts': one }), url }
    await stet(['start', 'absent', '--id', 'absent-1'], place)
    await stet(['start', 'one', '--id', 'one-1'], place)
    await query("UPDATE stet_store.runs SET status = 'blocked' WHERE id = 'one-1'")
    const report = await stetJson(['doctor'], place)
    expect(report.ok).toBe(true)
    expect(find(report, 'workflows')).toEqual([
      { check: 'workflows', status: 'ok', message: 'one@3 in workflows/one.ts' },
    ])
    for (const check of ['node', 'database', 'postgres', 'clock', 'schema', 'workers']) {
      expect(find(report, check)).toMatchObject([{ status: 'ok' }])
    }
    // The server of the tests does not wait for the disk.
    expect(find(report, 'durability')).toMatchObject([
      { status: 'warn', message: expect.stringContaining('fsync off') },
    ])
    expect(
      find(report, 'runs')
        .map(({ message }: any) => message)
        .sort(),
    ).toEqual([
      expect.stringMatching(/^1 run of absent ready for .* in queue default, and no live worker has the code$/),
      '1 run of one blocked, among them one-1',
    ])
    const text = await stet(['doctor'], place)
    expect(text.code).toBe(0)
    expect(text.stdout).toMatch(/^ok {4}node +Node 2/m)
    expect(text.stdout).toMatch(/^warn {2}runs +1 run of one blocked.*\n +→ See why: stet show one-1/m)
  })

  test('a database that stet has not seen is not changed; files that do not load fail', async () => {
    const url = await emptyDatabase()
    const place = { cwd: project('module', { 'workflows/bad.ts': `throw new Error('bad')\n` }), url }
    const report = await stetJson(['doctor'], place, 1)
    expect(find(report, 'workflows')).toMatchObject([{ status: 'fail', message: expect.stringContaining('bad.ts:1') }])
    const schema = [{ status: 'warn', message: expect.stringMatching(/^stet: at migration 0 of \d+$/) }]
    expect(find(report, 'schema')).toMatchObject(schema)
    expect(find(await stetJson(['doctor'], place, 1), 'schema')).toMatchObject(schema)
  })

  test('no database: 5, and the rest is checked all the same', async () => {
    const place = { cwd: project('module', { 'workflows/one.ts': one }), url: 'postgres://127.0.0.1:1/x' }
    const report = await stetJson(['doctor'], place, 5)
    expect(report.ok).toBe(false)
    expect(find(report, 'database')).toMatchObject([{ status: 'fail', fix: expect.stringContaining('stet db start') }])
    expect(find(report, 'workflows')).toMatchObject([{ status: 'ok' }])
  })
})
