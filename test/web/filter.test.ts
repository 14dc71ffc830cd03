/** Filters of the runs page: a text and its parts say the same, and what the page says of a row the server says too. */
import { expect, test } from 'vitest'
import type { RunFilter } from '../../src/index.js'
import {
  FilterError,
  filterOf,
  idIn,
  matches,
  type Part,
  partsOf,
  queryOf,
  textOf,
  withPart,
} from '../../src/web/lib/filter.js'
import { broken, idle } from '../server/support.js'
import { house } from '../support/house.js'

const { stet, work } = await house()

test('a text, its parts, and the text again', () => {
  const text = 'status:failed workflow:order error:"card declined" attr.tenant:acme'
  const parts = partsOf(text)
  expect(parts).toEqual([
    { key: 'status', value: 'failed' },
    { key: 'workflow', value: 'order' },
    { key: 'error', value: 'card declined', quoted: true },
    { key: 'attr.tenant', value: 'acme' },
  ])
  expect(textOf(parts)).toBe(text)
  const hostile: Part[] = [
    { key: 'workflow', value: 'a "quoted" \\ name: with spaces', quoted: true },
    { key: 'attr.a b:"c"', value: '__proto__' },
    { key: 'attr.__proto__', value: '7', quoted: true },
    { key: 'error', value: '<script>alert(1)</script>' },
    { key: 'queue', value: '', quoted: true },
  ]
  expect(partsOf(textOf(hostile))).toEqual(hostile)
})

test('what the API is asked for', () => {
  const now = Date.parse('2026-03-04T12:00:00Z')
  const of = (text: string) => filterOf(partsOf(text), now)
  expect(of('status:failed,blocked status:open version:3 queue:mail')).toEqual({
    status: ['failed', 'blocked', 'pending', 'running', 'waiting', 'paused'],
    version: 3,
    queue: 'mail',
  })
  expect(of('after:2h before:2026-03-04T11:30:00Z')).toEqual({
    startedAfter: '2026-03-04T10:00:00.000Z',
    startedBefore: '2026-03-04T11:30:00.000Z',
  })
  const today = new Date(now)
  today.setHours(0, 0, 0, 0)
  expect(of('after:today').startedAfter).toBe(today.toISOString())
  // Without quotes a number is a number; with them it is a text.
  expect(of('attr.a:7 attr.b:"7" attr.c:true attr.__proto__:x').attributes).toEqual(
    JSON.parse('{"a":7,"b":"7","c":true,"__proto__":"x"}'),
  )
  expect(queryOf(of('attr.a:7 status:failed'))).toEqual({ attributes: '{"a":7}', status: ['failed'] })
  for (const wrong of [
    'status:done',
    'version:x',
    'after:soon',
    'workflow:a workflow:b',
    'order-1 queue:a',
    'queue:',
  ]) {
    expect(() => of(wrong), wrong).toThrow(FilterError)
  }
  expect(() => partsOf('error:"open')).toThrow(FilterError)
})

test('an id by itself is looked up; one with a colon too', () => {
  for (const id of ['order-42', 'run_00abc', 'shop:42', '<script>']) expect(idIn(partsOf(id))).toBe(id)
  expect(idIn(partsOf('id:"two words"'))).toBe('two words')
  expect(idIn(partsOf('workflow:order'))).toBeNull()
  expect(idIn(partsOf('a b'))).toBeNull()
})

test('of a key that there can be once the new one counts; an empty status takes it away', () => {
  const parts = partsOf('status:failed workflow:a')
  expect(textOf(withPart(parts, { key: 'workflow', value: 'b' }))).toBe('status:failed workflow:b')
  expect(textOf(withPart(parts, { key: 'status', value: 'open' }))).toBe('status:open workflow:a')
  expect(textOf(withPart(parts, { key: 'status', value: '' }))).toBe('workflow:a')
})

test('the page and the server say the same of each run', async () => {
  await work([broken, idle])
  const runs = await Promise.all([
    stet.start(broken, { n: 1 }, { id: 'b1', attributes: { tenant: 'acme', size: 7 } }),
    stet.start(broken, { n: 2 }, { id: 'b2', attributes: { tenant: 'globex', size: '7' } }),
    stet.start(idle, 1, { id: 'i1', queue: 'nobody', attributes: { tenant: 'acme', vip: true } }),
  ])
  await Promise.all(runs.slice(0, 2).map((run) => run.result().catch(() => {})))
  const all = JSON.parse(JSON.stringify((await stet.list()).runs))
  expect(all).toHaveLength(3)
  const texts = [
    'status:failed',
    'status:open',
    'workflow:broken',
    'workflow:brok',
    'queue:nobody',
    'error:BROKEN',
    'error:"{\\"n\\":2}"',
    'error:%',
    'attr.tenant:acme',
    'attr.size:7',
    'attr.size:"7"',
    'attr.vip:true',
    'attr.none:null',
    'version:1 workflow:idle',
    'after:1h',
    'before:1h',
    'status:failed attr.tenant:acme error:with',
    'prefix:b',
    'prefix:i1 status:open',
    'parent:run_none',
    'closedafter:1h',
    'closedbefore:1h',
  ]
  const sizes = new Set<number>()
  for (const text of texts) {
    const { startedAfter, startedBefore, closedAfter, closedBefore, ...rest } = filterOf(partsOf(text))
    const listed = await stet.list({
      ...(rest as RunFilter),
      ...(closedAfter === undefined ? {} : { closedAfter: new Date(closedAfter) }),
      ...(closedBefore === undefined ? {} : { closedBefore: new Date(closedBefore) }),
      ...(startedAfter === undefined ? {} : { startedAfter: new Date(startedAfter) }),
      ...(startedBefore === undefined ? {} : { startedBefore: new Date(startedBefore) }),
    })
    const here = all.filter((run: any) => matches(filterOf(partsOf(text)), run))
    expect([text, here.map(({ id }: any) => id)]).toEqual([text, listed.runs.map(({ id }) => id)])
    sizes.add(here.length)
  }
  expect(sizes).toEqual(new Set([0, 1, 2, 3]))
})
