/** The checker can fail: each of its checks is lit by damage made to a sound database, and rolled back. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Stet } from '../../src/index.js'
import { Observer, prepare, Workers } from '../support/harness.js'
import { checkNames, violations } from '../support/invariants.js'
import { testDatabase } from '../support/server.js'

/**
 * Check → damage. `:done` is a completed run, `:open` one that waits, both with steps, sleeps and a signal. `:parent` has
 * children that have completed, one of them `:kid`; `:unbegun` was cancelled before it began, `:ended` after; `:tally` was
 * sent an update; `:paid` has a transaction; `:hop` was continued by `:next`.
 */
const mutants: [check: string, damage: string][] = [
  ['seq is contiguous from 1', `DELETE FROM stet_store.history WHERE run_id = :done AND seq = 3`],
  [
    'a history begins with its one RunStarted',
    `UPDATE stet_store.history SET type = 'RunStarted' WHERE run_id = :done AND seq = 2`,
  ],
  [
    'an ended run has one closing event, which is last and says its status',
    `UPDATE stet_store.runs SET status = 'failed' WHERE run_id = :done`,
  ],
  [
    'an ended run has one closing event, which is last and says its status',
    `INSERT INTO stet_store.history SELECT run_id, seq + 1, type, op, name, payload, facts, at FROM stet_store.history WHERE run_id = :done AND type = 'RunCompleted'`,
  ],
  [
    'an ended run has one closing event, which is last and says its status',
    `DELETE FROM stet_store.history WHERE run_id = :done AND type = 'RunCompleted'`,
  ],
  [
    'an open run has no closing event, and an open status',
    `UPDATE stet_store.runs SET closed_at = NULL WHERE run_id = :done`,
  ],
  [
    'an operation has at most one settling event',
    `INSERT INTO stet_store.history SELECT run_id, 1000, type, op, name, payload, facts, at FROM stet_store.history WHERE run_id = :open AND type = 'StepCompleted' LIMIT 1`,
  ],
  [
    'the events of an operation agree on its name and kind',
    `INSERT INTO stet_store.history SELECT run_id, 1000, 'StepScheduled', op, 'another', NULL, NULL, at FROM stet_store.history WHERE run_id = :open AND type = 'StepCompleted' LIMIT 1`,
  ],
  [
    'nothing of an operation comes after it was settled',
    `INSERT INTO stet_store.history SELECT run_id, 1000, 'AttemptFailed', op, name, NULL, NULL, at FROM stet_store.history WHERE run_id = :open AND type = 'StepCompleted' LIMIT 1`,
  ],
  ['operations are numbered without a hole', `UPDATE stet_store.history SET op = 100 WHERE run_id = :done AND op = 3`],
  [
    'attempts count up from 1',
    `INSERT INTO stet_store.history SELECT run_id, 1000, 'AttemptFailed', op, name, NULL, '{"attempt":2}', at FROM stet_store.history WHERE run_id = :open AND type = 'StepCompleted' LIMIT 1`,
  ],
  [
    'time does not go back in a history',
    `UPDATE stet_store.history SET at = at - interval '1 hour' WHERE run_id = :done AND seq = 4`,
  ],
  [
    'a timer does not fire early',
    `UPDATE stet_store.history SET facts = '{"dueAt":4102444800000}' WHERE run_id = :done AND type = 'TimerStarted'`,
  ],
  ['a run is owned exactly while it is running', `UPDATE stet_store.runs SET status = 'running' WHERE run_id = :open`],
  ['an owner is there', `UPDATE stet_store.runs SET owner = 'ghost', status = 'running' WHERE run_id = :open`],
  [
    'a waiting run has read its messages',
    `WITH i AS (INSERT INTO stet_store.inbox VALUES (:open, 2, 'signal', 'go', NULL, clock_timestamp() - interval '1 hour'))
     UPDATE stet_store.runs SET msgs = 2 WHERE run_id = :open`,
  ],
  [
    'a waiting run is not overdue',
    `UPDATE stet_store.runs SET due = clock_timestamp() - interval '1 hour' WHERE run_id = :open`,
  ],
  ['a waiting run waits for something', `UPDATE stet_store.runs SET waits = '[]' WHERE run_id = :open`],
  [
    'every message is either in the inbox or in the history',
    `DELETE FROM stet_store.inbox WHERE run_id = :open`, // a signal lost
  ],
  [
    'every message is either in the inbox or in the history',
    `INSERT INTO stet_store.inbox VALUES (:done, 1, 'signal', 'go', NULL, clock_timestamp())`, // and one doubled
  ],
  // Something that a child, an update, a transaction or a successor was told of got lost.
  ...['parent', 'tally', 'paid', 'next', 'ended'].map((run): [string, string] => [
    'every message is either in the inbox or in the history',
    `UPDATE stet_store.runs SET msgs = msgs + 1 WHERE run_id = :${run}`,
  ]),
  [
    'a run is cancelled once',
    `INSERT INTO stet_store.history SELECT run_id, 1000, type, op, name, payload, facts, at FROM stet_store.history WHERE run_id = :ended AND type = 'CancelRequested'`,
  ],
  [
    'a run that never began has done nothing',
    `INSERT INTO stet_store.history SELECT run_id, 1000, 'StepCompleted', 1, 'x', NULL, NULL, at FROM stet_store.history WHERE run_id = :unbegun AND seq = 1`,
  ],
  [
    'a run that never began has done nothing',
    `UPDATE stet_store.runs SET started_at = closed_at WHERE run_id = :unbegun`,
  ],
  ['a child is named by its parent', `DELETE FROM stet_store.history WHERE run_id = :parent AND type = 'ChildStarted'`],
  ['a child is named by its parent', `UPDATE stet_store.runs SET parent_op = 50 WHERE run_id = :kid`],
  ['a child that is named is there', `DELETE FROM stet_store.runs WHERE run_id = :kid`],
  ['a child that is named is there', `UPDATE stet_store.runs SET parent_run_id = :open WHERE run_id = :kid`],
  [
    'what a parent has heard of a child is what came of it',
    `UPDATE stet_store.history SET payload = '77' WHERE run_id = :parent AND type = 'ChildCompleted'`,
  ],
  [
    'what a parent has heard of a child is what came of it',
    `UPDATE stet_store.runs SET status = 'failed' WHERE run_id = :kid`,
  ],
  [
    'a parent hears of a child once',
    `INSERT INTO stet_store.inbox SELECT :parent, 1000, 'child', parent_op || ':completed', NULL, clock_timestamp() FROM stet_store.runs WHERE run_id = :kid`,
  ],
  [
    'children of a closed run have been told',
    `UPDATE stet_store.runs SET parent_run_id = :parent, parent_op = 1, parent_close = 'cancel' WHERE run_id = :open`,
  ],
  [
    'chores are of closed runs and do not stay',
    `INSERT INTO stet_store.chores VALUES (:parent, clock_timestamp() - interval '1 hour')`,
  ],
  ['chores are of closed runs and do not stay', `INSERT INTO stet_store.chores VALUES (:open, clock_timestamp())`],
  [
    'an update is received once and answered at most once',
    `INSERT INTO stet_store.history SELECT run_id, 1000, type, op, name, payload, facts, at FROM stet_store.history WHERE run_id = :tally AND type = 'UpdateReceived'`,
  ],
  [
    'an update is received once and answered at most once',
    `INSERT INTO stet_store.history SELECT run_id, 1000, type, op, name, payload, facts, at FROM stet_store.history WHERE run_id = :tally AND type = 'UpdateCompleted'`,
  ],
  [
    'an update is received once and answered at most once',
    `DELETE FROM stet_store.history WHERE run_id = :tally AND type = 'UpdateReceived'`,
  ],
  [
    'what is taken in again was there, and is taken in again once',
    `INSERT INTO stet_store.history SELECT run_id, 1000, type, op, name, '"other"', json_build_object('again', seq)::text, at FROM stet_store.history WHERE run_id = :done AND type = 'SignalReceived'`,
  ],
  [
    'what is taken in again was there, and is taken in again once',
    `INSERT INTO stet_store.history SELECT run_id, 1000 + n, type, op, name, payload, json_build_object('again', seq)::text, at FROM stet_store.history, generate_series(1, 2) n WHERE run_id = :done AND type = 'SignalReceived'`,
  ],
  [
    'the sender of an update finds its answer',
    `UPDATE stet_store.message_ids SET answer = NULL WHERE run_id = :tally AND answer IS NOT NULL`,
  ],
  [
    'the sender of an update finds its answer',
    `DELETE FROM stet_store.history WHERE run_id = :tally AND type = 'UpdateCompleted'`,
  ],
  [
    'a message id is accepted once',
    `INSERT INTO stet_store.inbox SELECT run_id, 1000, kind, name, payload, at, message_id FROM stet_store.inbox WHERE run_id = :open AND message_id IS NOT NULL`,
  ],
  [
    'the result of a transaction is on record once',
    `INSERT INTO stet_store.inbox SELECT run_id, 1000, 'result', op::text, NULL, at FROM stet_store.history WHERE run_id = :paid AND name = 'pay' AND type = 'StepCompleted'`,
  ],
  [
    'a run that was continued has handed on its messages, its id and its parent',
    `INSERT INTO stet_store.inbox VALUES (:hop, 1000, 'signal', 'word', NULL, clock_timestamp())`,
  ],
  [
    'a run that was continued has handed on its messages, its id and its parent',
    `UPDATE stet_store.runs SET id = 'other' WHERE run_id = :next`,
  ],
  [
    'a run that was continued has handed on its messages, its id and its parent',
    `UPDATE stet_store.history SET payload = '{}' WHERE run_id = :next AND seq = 1`,
  ],
  ['history, inbox and checkpoints belong to runs', `DELETE FROM stet_store.runs WHERE run_id = :done`],
  [
    'an id has at most one open run',
    `DROP INDEX stet_store.runs_open_id; UPDATE stet_store.runs SET id = 'twice', closed_at = NULL WHERE run_id IN (:done, :open)`,
  ],
  ['a run that ends its processes is blocked', `UPDATE stet_store.runs SET crashes = 5 WHERE run_id = :open`],
  [
    'a completed step does not begin again',
    `INSERT INTO chaos.ledger SELECT run_id, op, 1, 'begin', 0 FROM stet_store.history WHERE run_id = :done AND type = 'StepCompleted' LIMIT 1`,
  ],
  [
    'a step that is recorded as completed was carried out',
    `DELETE FROM chaos.ledger WHERE run_id = :done AND phase = 'end' AND op = 1`,
  ],
]

describe('the invariant checker', async () => {
  const database = await testDatabase()
  const observer = new Observer(database.url)
  const workers = new Workers({ url: database.url })
  const options = { transactions: ['pay'] }
  /** Run ids by the names that damages use. */
  const runs: Record<string, string> = {}

  beforeAll(async () => {
    await prepare(database.url)
    const [worker] = await workers.spawnReady(1)
    await using stet = new Stet({ url: database.url })
    const first = await stet.start('work', { steps: 3, sleepMs: 60, signal: true })
    const second = await stet.start('work', { steps: 3, sleepMs: 60, signal: true })
    await first.signal('go', 1)
    // One that nobody waits for stays in the inbox.
    await second.signal('other', 1)
    await first.result()
    for (;;) if ((await second.describe()).status === 'waiting') break
    Object.assign(runs, { done: first.runId, open: second.runId })
    await observer.query(
      "INSERT INTO chaos.ledger (phase) VALUES ('open'); CREATE TABLE chaos.paid (run_id text, pid int)",
    )
    const parent = await stet.start('crowd', { children: 2, until: 'open' })
    const tally = await stet.start('tally', undefined)
    await tally.update('add', 1)
    await tally.signal('stop')
    const paid = await stet.start('payer', { dies: 'never', ballast: false })
    const hop = await stet.start('hopper', { heard: [], every: 1, total: 2 }, { id: 'hopper' })
    for (const word of [1, 2]) await stet.run('hopper').signal('word', word)
    const unbegun = await stet.start('nap', undefined, { delay: '1h' })
    const ended = await stet.start('nap', undefined)
    for (;;) if ((await ended.describe()).status === 'waiting') break
    for (const run of [unbegun, ended]) {
      await run.cancel()
      await run.result().catch(() => {})
    }
    for (const run of [parent, tally, paid, hop]) await run.result()
    Object.assign(runs, {
      ...{ parent: parent.runId, tally: tally.runId, paid: paid.runId, hop: hop.runId },
      ...{ unbegun: unbegun.runId, ended: ended.runId },
      kid: await observer.one('SELECT min(run_id) FROM stet_store.runs WHERE parent_run_id = $1', [parent.runId]),
      next: (await stet.list({ workflow: 'hopper' })).runs[0]!.runId,
    })
    await worker!.kill('SIGTERM')
  })

  afterAll(async () => {
    await workers.end()
    await observer.close()
  })

  it('finds nothing in a sound database', async () => {
    expect(await violations(observer.query, options)).toEqual([])
  })

  it('has a mutant for each check', () => {
    expect(new Set(mutants.map(([check]) => check))).toEqual(new Set(checkNames))
  })

  it.each(mutants)('%s: lit by %s', async (check, damage) => {
    const client = new pg.Client(database.url)
    await client.connect()
    try {
      await client.query('BEGIN')
      const sql = damage.replaceAll(/:([a-z]+)\b/g, (text, name) => (name in runs ? `'${runs[name]}'` : text))
      const results = [await client.query(sql)].flat()
      // Damage that touches nothing proves nothing.
      expect(results.some(({ command, rowCount }) => command === 'DROP' || (rowCount ?? 0) > 0)).toBe(true)
      const found = await violations((text, values) => client.query(text, values as any[]), options)
      expect(found.map((violation) => violation.check)).toContain(check)
      await client.query('ROLLBACK')
    } finally {
      await client.end()
    }
  })
})
