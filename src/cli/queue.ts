import type { Command } from 'commander'
import { formatMs } from '../core/duration.js'
import { connect } from './lib/connect.js'
import { asName, type CommonOptions, examples, isJson, subcommandsOf } from './lib/options.js'
import { clean, out, outJson, paint, say, table } from './lib/term.js'

export function define(command: Command): void {
  const add = subcommandsOf(command)
  examples(
    add('list', 'what is ready in each queue, who listens, and whether it is paused').action(list),
    'stet queue list',
    'stet queue list --json',
  )
  examples(
    add('pause', 'nothing of the queue is claimed; runs in hand go on')
      .argument('<queue>', 'its name', asName)
      .action((queue: string, options: CommonOptions) => setPaused(queue, true, options)),
    'stet queue pause mail',
  )
  examples(
    add('resume', 'runs of the queue are claimed again')
      .argument('<queue>', 'its name', asName)
      .action((queue: string, options: CommonOptions) => setPaused(queue, false, options)),
    'stet queue resume mail',
  )
  examples(command, 'stet queue list', 'stet queue pause mail')
  command.addHelpText(
    'after',
    '\nHow many runs of a queue may be in hand at once: stet limit set queue:mail --concurrency 5',
  )
}

async function setPaused(queue: string, paused: boolean, options: CommonOptions): Promise<void> {
  await using connection = await connect(options)
  if (paused) await connection.stet.limits.pause({ queue })
  else await connection.stet.limits.resume({ queue })
  if (isJson(options)) outJson({ queue, paused })
  else say(`${paused ? 'paused' : 'resumed'}: ${clean(queue)}`)
}

async function list(options: CommonOptions): Promise<void> {
  await using connection = await connect(options)
  const { store } = await connection.stet.internals()
  const [{ queues: ready }, { queues: open }, workers, limits] = await Promise.all([
    store.backlog(),
    store.queuedRuns(),
    store.liveWorkers(),
    connection.stet.limits.list(),
  ])
  const names = new Set([...ready, ...open].map(({ queue }) => queue).concat(workers.flatMap(({ queues }) => queues)))
  for (const { target } of limits) if (target.queue !== undefined) names.add(target.queue)
  const rows = [...names].sort().map((queue) => {
    const backlog = ready.find((each) => each.queue === queue)
    const own = limits.filter(({ target }) => target.queue === queue)
    return {
      queue,
      paused: own.some(({ paused }) => paused),
      ready: backlog?.ready ?? 0,
      oldestMs: backlog?.oldestAgeMs ?? null,
      workers: workers.filter(({ queues }) => queues.includes(queue)).length,
      concurrency: own.find(({ target }) => target.key === undefined)?.concurrency ?? null,
    }
  })
  if (isJson(options)) {
    outJson(rows)
    return
  }
  if (rows.length === 0) {
    say('No queues yet: no worker listens, and no run is open. stet worker')
    return
  }
  const head = ['queue', 'ready', 'oldest', 'workers', 'at once'].map((name) => paint('dim', name))
  const lines = rows.map(({ queue, paused, ready: n, oldestMs, workers: listening, concurrency }) => [
    clean(queue) + (paused ? ` ${paint('yellow', 'paused')}` : ''),
    String(n),
    oldestMs === null ? '' : formatMs(oldestMs),
    String(listening),
    concurrency === null ? '–' : String(concurrency),
  ])
  out(table([head, ...lines]))
}
