import type { Command } from 'commander'
import { formatMs } from '../core/duration.js'
import { closedStatuses } from '../core/statuses.js'
import type { Keep, RetentionPolicy, RetentionRule } from '../core/types.js'
import { connect } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import { asName, type CommonOptions, examples, isJson, subcommandsOf } from './lib/options.js'
import { clean, out, outJson, paint, paintTalk, say, table } from './lib/term.js'

export function define(command: Command): void {
  const add = subcommandsOf(command)
  examples(add('show', 'how long closed runs are kept, and who says so').action(show), 'stet retention show')
  examples(
    add('set', 'set how long, in place of what the config says')
      .argument('<status=time...>', `of ${closedStatuses.join(', ')}: a duration, forever, or config to take it back`)
      .option('--workflow <name>', 'of this workflow alone', asName)
      .action(set),
    'stet retention set completed=30d failed=90d',
    'stet retention set completed=forever --workflow invoice',
    'stet retention set completed=config',
  )
  examples(add('sweep', 'delete now, from here, what is kept no longer').action(sweep), 'stet retention sweep')
  examples(command, 'stet retention show', 'stet retention set completed=30d failed=90d')
  command.addHelpText(
    'after',
    `
Without a rule runs are kept for ever. Workers look once a minute, one of them at a time, and delete in small parts.
Rules of the config: \`retention: { completed: '30d', perWorkflow: { order: { completed: '7d' } } }\`.
Statistics and the record of operators stay. \`stet doctor\` looks for rows that a run has left behind.`,
  )
}

async function show(options: CommonOptions): Promise<void> {
  await using connection = await connect(options)
  sayRules(await connection.stet.retention.rules(), options)
}

const lasts = (ms: number | 'forever') => (ms === 'forever' ? 'forever' : formatMs(ms))

function sayRules(rules: readonly RetentionRule[], options: CommonOptions): void {
  if (isJson(options)) {
    outJson({ rules })
    return
  }
  if (rules.length === 0) {
    say('no rules: closed runs are kept for ever')
    return
  }
  const head = ['WORKFLOW', 'STATUS', 'KEPT', 'SAYS'].map((text) => paint('dim', text))
  const rows = rules.map(({ workflow, status, keepMs, from, configMs }) => [
    workflow === undefined ? paint('dim', 'all others') : clean(workflow),
    status,
    lasts(keepMs),
    from === 'runtime' && configMs !== undefined ? `set, the config says ${lasts(configMs)}` : from,
  ])
  out(table([head, ...rows]))
}

async function set(given: string[], options: CommonOptions & { workflow?: string }): Promise<void> {
  const policy = Object.fromEntries(
    given.map((each) => {
      const [, status, keep] = /^([a-z]+)=(.+)$/.exec(each) ?? []
      if (status === undefined || !(closedStatuses as readonly string[]).includes(status)) {
        throw new UsageError(`expected <status>=<time>, as completed=30d, got "${clean(each)}".`)
      }
      return [status, keep === 'config' ? null : (keep as Keep)]
    }),
  ) as { [S in keyof RetentionPolicy]: Keep | null }
  await using connection = await connect(options)
  const { retention } = connection.stet
  await retention.set(policy, options.workflow === undefined ? {} : { workflow: options.workflow })
  sayRules(await retention.rules(), options)
}

async function sweep(options: CommonOptions): Promise<void> {
  const json = isJson(options)
  await using connection = await connect(options)
  let told = performance.now()
  const done = await connection.stet.retention.sweep({
    onProgress: ({ deleted }) => {
      if (json || performance.now() - told < 1_000) return
      told = performance.now()
      say(paintTalk('dim', `${deleted} deleted so far`))
    },
  })
  if (json) outJson(done)
  else say(`deleted ${done.deleted}${done.kept > 0 ? `; ${done.kept} have to stay for now` : ''}`)
}
