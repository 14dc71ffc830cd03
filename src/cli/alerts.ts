import type { Command } from 'commander'
import { durationMs, formatMs } from '../core/duration.js'
import type { Alert, AlertRule, AlertRuleStatus, Alerts, AlertTest, Duration } from '../core/types.js'
import { connect } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import {
  asCount,
  asDate,
  asDuration,
  type CommonOptions,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  readJson,
  subcommandsOf,
} from './lib/options.js'
import { clean, cleanLines, out, outJson, paint, paintTalk, say, shorten, table, when } from './lib/term.js'

export function define(command: Command): void {
  const add = subcommandsOf(command)
  examples(
    add('list', 'what fires, what is about to, and the rules').action(list),
    'stet alerts list',
    'stet alerts list --json',
  )
  examples(
    add('add', 'add a rule, or put it in the place of the one with its name')
      .argument('<rule>', 'a rule as JSON, @file, or - for standard input')
      .action(addRule),
    `stet alerts add '{"name": "orders fail", "kind": "failureRate", "workflow": "order", "above": 0.2, "for": "5m"}'`,
    'stet alerts add @rule.json',
  ).addHelpText('after', `\n${kindsHelp}`)
  examples(
    add('remove', 'remove a rule that was added; one of the config with its name is in force again')
      .argument('<rule>', 'its name')
      .action(remove),
    "stet alerts remove 'orders fail'",
  )
  for (const what of ['enable', 'disable'] as const) {
    const description = what === 'enable' ? 'look at a rule again' : 'do not look at a rule; its alerts resolve'
    examples(
      add(what, description)
        .argument('<rule>', 'its name')
        .action((name: string, options: CommonOptions) => enable(what, name, options)),
      `stet alerts ${what} 'orders fail'`,
    )
  }
  examples(
    add('silence', 'send nothing of a rule, or of one alert, for a while')
      .argument('[rule]', 'name of a rule')
      .option('--fingerprint <fingerprint>', 'one alert alone, as in stet alerts list')
      .option('--for <duration>', 'for so long from now', asDuration)
      .option('--until <date>', 'until this time', asDate)
      .option('--end', 'end the silence now')
      .action(silence),
    "stet alerts silence 'orders fail' --for 2h",
    'stet alerts silence --fingerprint 3f1c0a9be2d47755 --until 2026-01-31T08:00:00Z',
    "stet alerts silence 'orders fail' --end",
  ).addHelpText(
    'after',
    '\nWhat fires meanwhile is told when the silence ends, if it still does. What was told of before resolves aloud.',
  )
  examples(
    add('history', 'what has fired, newest first')
      .option('--limit <n>', 'so many (50; at most 500)', asCount)
      .option('--before <id>', 'older than this one', asCount)
      .action(history),
    'stet alerts history --limit 10',
  )
  examples(
    add('test', 'when rules would have fired, by the statistics that are kept')
      .argument('[rule...]', 'names of rules (default: all)')
      .option('--last <duration>', 'how far back', asDuration, '7d')
      .option('--rule <rule>', 'this rule, as JSON or @file, without adding it')
      .action(test),
    'stet alerts test',
    "stet alerts test --last 7d 'orders fail'",
    `stet alerts test --rule '{"name": "slow", "kind": "runTooLong", "timesP99": 3}'`,
  )
  examples(command, 'stet alerts list', 'stet alerts test --last 7d', "stet alerts silence 'orders fail' --for 2h")
  command.addHelpText(
    'after',
    '\nRules of the config stand under alerts.rules in stet.config.ts. Workers and dashboards look after them, one of them at\na time. `stet alerts add --help` has the kinds of rules.',
  )
}

const kindsHelp = `Kinds, and what each takes beside name, for, severity, labels and description:
  runTooLong   longerThan '10m', or timesP99 3 (with window '1d', minRuns 20); workflow, queue
  failureRate  above 0.2; window '10m', minRuns 10, workflow
  retryRate    above 0.5, or timesUsual 3; window '10m', minAttempts 10, workflow, step
  queueAge     olderThan '1m'; queue
  noWorker     workflow, queue
  blockedRuns  above 0; workflow
  leaseChurn   above 2; window '10m'`

async function list(options: CommonOptions): Promise<void> {
  await withAlerts(options, async (alerts) => {
    const [{ firing, pending, recent }, rules] = await Promise.all([alerts.list(), alerts.rules()])
    if (isJson(options)) {
      outJson({ firing, pending, recent, rules })
      return
    }
    if (rules.length === 0 && firing.length === 0) {
      say('there are no alert rules. Add one: stet alerts add --help')
      return
    }
    const open = [...firing, ...pending]
    if (open.length === 0) say(paintTalk('green', 'nothing fires'))
    else out(alertTable(open))
    if (rules.length === 0) return
    if (open.length > 0) out('')
    const head = ['RULE', 'KIND', 'SEVERITY', 'FROM', 'STATE'].map((text) => paint('dim', text))
    out(table([head, ...rules.map(ruleCells)]))
  })
}

function ruleCells({ name, rule, source, configured, enabled, silencedUntil }: AlertRuleStatus): string[] {
  const silent = silencedUntil !== undefined && silencedUntil.getTime() > Date.now()
  return [
    clean(name),
    rule.kind,
    clean(rule.severity ?? 'warning'),
    source === 'config' ? 'config' : configured ? 'edited (over the config)' : 'added',
    !enabled
      ? paint('dim', 'disabled')
      : silent
        ? paint('yellow', `silenced until ${silencedUntil.toISOString()}`)
        : paint('green', 'enabled'),
  ]
}

function alertTable(alerts: readonly Alert[]): string {
  const head = ['STATE', 'RULE', 'SINCE', 'FINGERPRINT', 'SUMMARY'].map((text) => paint('dim', text))
  const colours = { firing: 'red', pending: 'yellow', resolved: 'green' } as const
  const rows = alerts.map((alert) => {
    const { state, rule, since, firedAt, fingerprint, summary } = alert
    return [
      paint(colours[state], state),
      clean(rule),
      when(firedAt ?? since),
      fingerprint,
      shorten(clean(summary), 160) + deliveryNote(alert),
    ]
  })
  return table([head, ...rows])
}

/** What became of what was to be sent, when that is not as it should be. */
function deliveryNote({ deliveries, silencedUntil, state }: Alert): string {
  const bad = deliveries.findLast(({ state, error }) => state === 'givenUp' || (state === 'due' && error !== undefined))
  if (bad !== undefined) {
    const what = bad.state === 'givenUp' ? 'not delivered, given up' : `not delivered yet, ${bad.attempts} tries`
    return paint('red', ` [${bad.event}: ${what}: ${clean(bad.error ?? '')}]`)
  }
  const silent = state !== 'resolved' && silencedUntil !== undefined && silencedUntil.getTime() > Date.now()
  return silent ? paint('yellow', ` [silenced until ${silencedUntil.toISOString()}]`) : ''
}

async function addRule(given: string, options: CommonOptions): Promise<void> {
  const rule = readJson(given, 'rule') as AlertRule
  await withAlerts(options, async (alerts) => {
    await alerts.add(rule)
    await done(options, { name: rule.name }, `alert rule added: ${clean(rule.name)}`)
  })
}

async function remove(name: string, options: CommonOptions): Promise<void> {
  await withAlerts(options, async (alerts) => {
    const what = await alerts.remove(name)
    const restored = what === 'restored' ? '; the one of the config is in force again' : ''
    await done(options, { name, done: what }, `alert rule removed: ${clean(name)}${restored}`)
  })
}

async function enable(what: 'enable' | 'disable', name: string, options: CommonOptions): Promise<void> {
  await withAlerts(options, async (alerts) => {
    await alerts[what](name)
    await done(options, { name, enabled: what === 'enable' }, `alert rule ${what}d: ${clean(name)}`)
  })
}

interface SilenceOptions extends CommonOptions {
  fingerprint?: string
  for?: Duration
  until?: Date
  end?: true
}

async function silence(rule: string | undefined, options: SilenceOptions): Promise<void> {
  const { fingerprint, until, end } = options
  if ((rule === undefined) === (fingerprint === undefined)) {
    throw new UsageError('expected the name of a rule, or --fingerprint, one of both.')
  }
  if ([options.for, until, end].filter((each) => each !== undefined).length !== 1) {
    throw new UsageError('expected one of --for, --until and --end.')
  }
  const what = rule === undefined ? { fingerprint: fingerprint! } : { rule }
  await withAlerts(options, async (alerts) => {
    await alerts.silence(what, end === true ? null : (options.for ?? until!))
    const whose = clean(rule ?? fingerprint!)
    const text =
      end === true
        ? `no longer silenced: ${whose}`
        : `silenced ${options.for === undefined ? `until ${until!.toISOString()}` : `for ${formatMs(durationMs(options.for, '--for'))}`}: ${whose}`
    await done(options, { ...what, silenced: end !== true }, text)
  })
}

async function history(options: CommonOptions & { limit?: number; before?: number }): Promise<void> {
  const { limit, before } = options
  await withAlerts(options, async (alerts) => {
    const found = await alerts.history({
      ...(limit === undefined ? {} : { limit }),
      ...(before === undefined ? {} : { before }),
    })
    if (isJson(options)) {
      outJson({ alerts: found })
      return
    }
    if (found.length === 0) {
      say('nothing has fired')
      return
    }
    const head = ['ID', 'FIRED', 'LASTED', 'RULE', 'SUMMARY'].map((text) => paint('dim', text))
    const rows = found.map((alert) => [
      String(alert.id),
      alert.firedAt!.toISOString(),
      alert.resolvedAt === undefined
        ? paint('red', 'fires')
        : formatMs(alert.resolvedAt.getTime() - alert.firedAt!.getTime()),
      clean(alert.rule),
      shorten(clean(alert.summary), 160) + deliveryNote(alert),
    ])
    out(table([head, ...rows]))
  })
}

async function test(
  names: readonly string[],
  options: CommonOptions & { last: Duration; rule?: string },
): Promise<void> {
  const rule = readJson(options.rule, '--rule') as AlertRule | undefined
  if (rule !== undefined && names.length > 0) throw new UsageError('expected names of rules, or --rule, one of both.')
  await withAlerts(options, async (alerts) => {
    const tests = await alerts.test({
      last: options.last,
      ...(rule === undefined ? {} : { rule }),
      ...(names.length === 0 ? {} : { rules: [...names] }),
    })
    if (isJson(options)) {
      outJson({ last: options.last, tests })
      return
    }
    if (tests.length === 0) say('there are no alert rules. Add one: stet alerts add --help')
    for (const each of tests) outTest(each)
  })
}

const maxShown = 20

function outTest({ rule, kind, known, note, firings }: AlertTest): void {
  const times = firings.length === 1 ? 'once' : `${firings.length} times`
  const verdict = !known
    ? paint('yellow', note)
    : firings.length === 0
      ? paint('green', 'would not have fired')
      : paint('red', `would have fired ${times}`)
  out(`${paint('bold', clean(rule))} (${kind}): ${verdict}`)
  if (!known) return
  out(paint('dim', `  ${note}`))
  const rows = firings.slice(-maxShown).map(({ firedAt, resolvedAt, summary }) => {
    const lasted = resolvedAt === null ? 'still' : `for ${formatMs(resolvedAt.getTime() - firedAt.getTime())}`
    return ['', firedAt.toISOString(), lasted, shorten(clean(summary), 160)]
  })
  if (firings.length > maxShown) out(paint('dim', `  the last ${maxShown}; --json has all`))
  if (rows.length > 0) out(table(rows))
}

async function withAlerts(options: DatabaseOptions, body: (alerts: Alerts) => Promise<void>): Promise<void> {
  await using connection = await connect(options)
  await body(connection.stet.alerts)
}

async function done(options: OutputOptions, value: object, text: string): Promise<void> {
  if (isJson(options)) outJson(value)
  else say(cleanLines(text))
}
