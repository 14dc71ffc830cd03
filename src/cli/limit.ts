import type { Command } from 'commander'
import { formatMs } from '../core/duration.js'
import type { Duration, Limit, LimitBounds, LimitTarget } from '../core/types.js'
import { connect } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import { asDuration, type CommonOptions, examples, isJson, subcommandsOf } from './lib/options.js'
import { clean, out, outJson, paint, say, table } from './lib/term.js'

export function define(command: Command): void {
  const add = subcommandsOf(command)
  const withTarget = (to: Command) =>
    to
      .argument('<target>', 'workflow:<name> or queue:<name>')
      .option('--key <path>', 'each value of this path into the input for itself, such as customer.id')
  examples(add('list', 'limits, and how far they are used').action(list), 'stet limit list', 'stet limit list --json')
  examples(
    withTarget(add('set', 'set bounds, in place of what the code says'))
      .option('--concurrency <n>', "so many in hand at once ('none': any number)", asBound)
      .option('--rate <n>', "so many begun in any period ('none': any number)", asBound)
      .option('--period <duration>', 'the period of --rate', asDuration)
      .action(set),
    'stet limit set workflow:order --concurrency 20',
    'stet limit set workflow:order --key customer.id --concurrency 3',
    'stet limit set queue:mail --rate 100 --period 1s',
  )
  examples(
    withTarget(add('reset', 'back to what the code says; a limit that the code does not know goes')).action(reset),
    'stet limit reset workflow:order --key customer.id',
  )
  examples(command, 'stet limit list', 'stet limit set workflow:order --key customer.id --concurrency 3')
  command.addHelpText(
    'after',
    '\nA limit counts runs that a worker has in hand; one that waits (for a signal, a timer, a child) counts for nothing\nmeanwhile. A change holds for all that is claimed from then on, and needs no restart.',
  )
}

type Bound = number | null

function asBound(value: string): Bound {
  if (value === 'none') return null
  const n = Number(value)
  if (value.trim() !== '' && Number.isInteger(n) && n >= 0) return n
  throw new UsageError(`expected a whole number from 0, or none, got '${value}'.`)
}

function asTarget(text: string, key: string | undefined): LimitTarget {
  const [, scope, name] = /^(queue|workflow):(.+)$/s.exec(text) ?? []
  if (scope === undefined) throw new UsageError(`target: expected workflow:<name> or queue:<name>, got '${text}'.`)
  const by = key === undefined ? {} : { key }
  return scope === 'queue' ? { queue: name!, ...by } : { workflow: name!, ...by }
}

async function set(
  text: string,
  options: CommonOptions & { key?: string; concurrency?: Bound; rate?: Bound; period?: Duration },
): Promise<void> {
  const { key, concurrency, rate, period } = options
  if ((typeof rate === 'number') !== (period !== undefined)) {
    throw new UsageError('--rate and --period belong together: expected both, such as --rate 100 --period 1s.')
  }
  const bounds: LimitBounds = {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(rate === undefined ? {} : { rate: rate === null ? null : { limit: rate, period: period! } }),
  }
  const target = asTarget(text, key)
  await using connection = await connect(options)
  await connection.stet.limits.set(target, bounds)
  if (isJson(options)) outJson({ target, ...bounds })
  else say(`set: ${nameOf(target)}`)
}

async function reset(text: string, options: CommonOptions & { key?: string }): Promise<void> {
  const target = asTarget(text, options.key)
  await using connection = await connect(options)
  const was = await connection.stet.limits.reset(target)
  if (isJson(options)) outJson({ target, was })
  else say(was ? `reset: ${nameOf(target)}` : `there is no limit of ${nameOf(target)}`)
}

async function list(options: CommonOptions): Promise<void> {
  await using connection = await connect(options)
  const limits = await connection.stet.limits.list()
  if (isJson(options)) {
    outJson(limits)
    return
  }
  if (limits.length === 0) {
    say('No limits. Set one: stet limit set workflow:order --concurrency 20')
    return
  }
  const head = ['limit', 'at once', 'rate', 'in hand', 'queued', 'oldest', 'says']
  out(table([head.map((name) => paint('dim', name)), ...limits.map(rowOf)]))
}

function rowOf(limit: Limit): string[] {
  const { target, concurrency, rate, paused, running, queued, oldestMs, full, source } = limit
  return [
    nameOf(target) + (paused ? ` ${paint('yellow', 'paused')}` : ''),
    concurrency === null ? '–' : String(concurrency),
    rate === null ? '–' : `${rate.limit} / ${formatMs(rate.periodMs)}`,
    countOf(running) + (full > 0 ? ` (${countOf(full)} full: ${someOf(limit)})` : ''),
    countOf(queued),
    oldestMs === null ? '' : formatMs(oldestMs),
    source === 'code' ? 'code' : 'run time',
  ]
}

/** Those for which runs have waited the longest. */
function someOf({ full, fullValues }: Limit): string {
  const few = fullValues.slice(0, 3).map(({ value }) => clean(value === '' ? "''" : value).slice(0, 30))
  return few.join(', ') + (full > few.length ? ', …' : '')
}

/** So many at most are counted. */
const countOf = (n: number) => (n > 1_000 ? '> 1,000' : String(n))

function nameOf(target: LimitTarget): string {
  const of = target.queue === undefined ? `workflow:${target.workflow}` : `queue:${target.queue}`
  return clean(target.key === undefined ? of : `${of} by ${target.key}`)
}
