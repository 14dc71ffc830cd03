import type { Command } from 'commander'
import { queuesOf } from '../client/queues.js'
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
  const { queues } = await queuesOf((await connection.stet.internals()).store)
  const rows = queues.map(({ runs: _runs, ...row }) => row)
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
