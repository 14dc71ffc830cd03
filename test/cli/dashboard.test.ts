/** stet dashboard. */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson } from './support.js'

const { url } = await testDatabase()
const cwd = project('module')
const token = 'a-token-of-the-test-0123456789'

test('it starts, answers, and ends by a signal', async () => {
  await stetJson(['start', 'nobody has this', '--id', 'from-cli'], { cwd, url })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const dashboard = new Process(['dashboard', '-p', '0'], { cwd, url })
    const [address] = await dashboard.until(/http:\/\/127\.0\.0\.1:\d+/)
    await dashboard.until(/Ctrl-C ends it/)
    expect(dashboard.stdout).toBe(`${address}\n`)
    const page = await fetch(address)
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<div id="root">')])
    expect(await (await fetch(`${address}/api/runs/from-cli`)).json()).toMatchObject({ run: { status: 'pending' } })
    expect(await (await fetch(`${address}/api/session`)).json()).toEqual({ role: 'operate', actor: 'local' })
    const feed = await fetch(`${address}/api/feed?lists=1`)
    const reader = feed.body!.getReader()
    await reader.read()
    dashboard.kill(signal)
    expect((await dashboard.ended).code).toBe(0)
  }
})

test('with tokens, by option or variable', async () => {
  const byOption = new Process(['dashboard', '-p', '0', '--token', `view:${token}`], { cwd, url })
  const byVariable = new Process(['dashboard', '-p', '0', '--host', '0.0.0.0'], {
    cwd,
    url,
    env: { STET_DASHBOARD_TOKEN: token },
  })
  const roles = ['view', 'admin']
  for (const [i, dashboard] of [byOption, byVariable].entries()) {
    const [address] = await dashboard.until(/http:\/\/127\.0\.0\.1:\d+/)
    expect((await fetch(`${address}/api/runs`)).status).toBe(401)
    const me = await fetch(`${address}/api/session`, { headers: { authorization: `Bearer ${token}` } })
    expect(await me.json()).toMatchObject({ role: roles[i] })
    dashboard.kill('SIGTERM')
    const { code, stdout, stderr } = await dashboard.ended
    expect([code, (stdout + stderr).includes(token)]).toEqual([0, false])
  }
})

test('it refuses another address without a token, a short token and a wrong port', async () => {
  const refused = await stet(['dashboard', '--host', '0.0.0.0'], { cwd, url })
  expect(refused).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/0\.0\.0\.0.*STET_DASHBOARD_TOKEN/),
  })
  const named = await stet(['dashboard', '--hosts', 'ops.example.com'], { cwd, url })
  expect(named).toMatchObject({ code: 1, stderr: expect.stringContaining('ops.example.com') })
  const short = await stet(['dashboard', '--token', 'shortish'], { cwd, url })
  expect(short).toMatchObject({ code: 2, stderr: expect.stringContaining('16 characters') })
  expect(short.stderr).not.toContain('shortish')
  expect((await stet(['dashboard', '-p', '70000'], { cwd, url })).code).toBe(2)
})
