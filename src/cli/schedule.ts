import { type Command, Option } from 'commander'
import { formatMs } from '../core/duration.js'
import { Slots } from '../core/schedule/slots.js'
import { checkTimes } from '../core/schedule/times.js'
import { zoneOf } from '../core/schedule/zone.js'
import type {
  Attributes,
  Duration,
  OverlapPolicy,
  ScheduleChange,
  ScheduleFire,
  ScheduleOptions,
  Schedules,
  ScheduleTimes,
} from '../core/types.js'
import { connect } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import {
  addAttribute,
  asCount,
  asDate,
  asDuration,
  asInteger,
  asName,
  asPast,
  type CommonOptions,
  type DatabaseOptions,
  examples,
  isJson,
  readJson,
  subcommandsOf,
} from './lib/options.js'
import { clean, cleanLines, jsonText, out, outJson, paint, plain, say, shorten, table, when } from './lib/term.js'

interface TimesOptions {
  cron?: string[]
  every?: Duration
  offset?: Duration
  at?: Date[]
  timeZone?: string
  startAt?: Date
  endAt?: Date
  jitter?: Duration
  times?: string
}
interface SettingsOptions extends TimesOptions {
  input?: string
  overlap?: OverlapPolicy
  catchUp?: Duration
  maxRuns?: number
  note?: string
  queue?: string
  priority?: number
  timeout?: Duration
  version?: number
  attribute?: Attributes
  paused?: true
}

const policies = ['skip', 'bufferOne', 'bufferAll', 'cancelOther', 'terminateOther', 'allow']

export function define(command: Command): void {
  const add = subcommandsOf(command)
  examples(
    withSettings(
      withTimes(
        add('create', 'make a schedule').argument('<id>', 'its name').argument('<workflow>', 'what it starts', asName),
      ),
    )
      .option('--paused', 'fire nothing before it is resumed')
      .action(create),
    "stet schedule create nightly report --cron '0 3 * * *' --time-zone Europe/Berlin",
    `stet schedule create poll fetch --every 10m --overlap bufferOne --input '{"source":"mail"}'`,
    'stet schedule create launch announce --at 2027-01-31T08:00:00Z',
    `stet schedule create close books --times '{"calendars": [{"daysOfMonth": -1, "hours": 18}], "exclude": [{"months": 12}]}'`,
  )
  examples(
    add('list', 'schedules, and when each fires next').action(list),
    'stet schedule list',
    'stet schedule list --json',
  )
  examples(
    add('show', 'a schedule, its next and its last fires')
      .argument('<id>', 'its name')
      .option('--fires <n>', 'so many of the last (20)', asCount)
      .action(show),
    'stet schedule show nightly',
  )
  examples(
    withSettings(withTimes(add('update', 'change what is given').argument('<id>', 'its name')))
      .option('--workflow <name>', 'what it starts', asName)
      .action(update),
    "stet schedule update nightly --cron '0 4 * * *'",
    'stet schedule update poll --overlap skip --note "slow source"',
  ).addHelpText('after', '\nWith other times it goes on from now; what was due under the former ones is let go.')
  examples(
    add('pause', 'fire nothing until it is resumed')
      .argument('<id>', 'its name')
      .option('--note <text>', 'why')
      .action((id: string, options: CommonOptions & { note?: string }) =>
        act(options, { id, paused: true }, `paused: ${id}`, (schedules) => schedules.pause(id, options.note)),
      ),
    "stet schedule pause nightly --note 'until the disk is mended'",
  ).addHelpText('after', '\nWhat would have fired meanwhile does not count as missed.')
  examples(
    add('resume', 'let it fire again, from now on')
      .argument('<id>', 'its name')
      .action((id: string, options: CommonOptions) =>
        act(options, { id, paused: false }, `resumed: ${id}`, (schedules) => schedules.resume(id)),
      ),
    'stet schedule resume nightly',
  )
  examples(
    add('trigger', 'fire it now, through its overlap policy')
      .argument('<id>', 'its name')
      .addOption(new Option('--overlap <policy>', 'this policy instead').choices(policies))
      .action(trigger),
    'stet schedule trigger nightly',
  )
  examples(
    add('backfill', 'start what has not been started of a span of the past; safe to repeat')
      .argument('<id>', 'its name')
      .requiredOption('--from <date>', 'from this time on, or so long ago', asPast)
      .option('--to <date>', 'up to this time (now)', asPast)
      .addOption(new Option('--overlap <policy>', 'what becomes of slots while others run (allow)').choices(policies))
      .action(backfill),
    'stet schedule backfill nightly --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z --overlap bufferAll',
    'stet schedule backfill nightly --from 7d',
  )
  examples(
    withTimes(
      add('next', 'when a schedule fires next, or when times would that are none yet').argument('[id]', 'its name'),
    )
      .option('-n, --count <n>', 'so many (10)', asCount)
      .option('--after <date>', 'after this time (now)', asDate)
      .action(next),
    'stet schedule next nightly',
    "stet schedule next --cron '30 2 * * *' --time-zone Europe/Berlin -n 20",
  ).addHelpText('after', '\nWithout an id it asks no database.')
  examples(
    add('delete', 'delete it; its runs go on')
      .argument('<id>', 'its name')
      .action((id: string, options: CommonOptions) =>
        act(options, { id, deleted: true }, `deleted: ${id}`, (schedules) => schedules.delete(id)),
      ),
    'stet schedule delete nightly',
  )
  examples(
    command,
    "stet schedule create nightly report --cron '0 3 * * *' --time-zone Europe/Berlin",
    'stet schedule list',
    'stet schedule show nightly',
    "stet schedule next --cron '30 2 * * *' --time-zone Europe/Berlin",
  )
  command.addHelpText('after', clocksHelp)
}

const clocksHelp = `
Where clocks are put forward and back: a time that they skip fires at the moment they do, one that they show twice fires
the first time. With all hours (*, */2) it fires whenever the clock shows the time, in each real hour.`

function withTimes(command: Command): Command {
  return command
    .option(
      '--cron <expression>',
      'five fields, or six with seconds in front; may be repeated',
      (each: string, all: string[] = []) => [...all, each],
    )
    .option('--every <duration>', "an interval from a second on ('10m'), counted from 1970", asDuration)
    .option('--offset <duration>', 'moves the times of --every', asDuration)
    .option('--at <date>', 'a date; may be repeated', (each: string, all: Date[] = []) => [...all, asDate(each)])
    .option('--time-zone <name>', 'IANA name, as Europe/Berlin (UTC)')
    .option('--start-at <date>', 'nothing before', asDate)
    .option('--end-at <date>', 'nothing after', asDate)
    .option('--jitter <duration>', 'each slot fires up to so much later', asDuration)
    .option('--times <json>', 'all of these as JSON, with calendars and exclude: JSON, @file, or -')
}

function withSettings(command: Command): Command {
  return command
    .option('-i, --input <json>', 'input of each run: JSON, @file, or - for standard input')
    .addOption(
      new Option('--overlap <policy>', 'what becomes of a slot while an earlier run is open (skip)').choices(policies),
    )
    .option('--catch-up <duration>', 'how late a slot may still fire (1d)', asDuration)
    .option('--max-runs <n>', 'fire no more after so many', asCount)
    .option('--note <text>', 'for people')
    .option('-q, --queue <name>', "queue (default: 'default')", asName)
    .option('--priority <n>', 'higher runs first', asInteger)
    .option('--timeout <duration>', 'how long each run may take', asDuration)
    .option('--version <n>', 'of the workflow (the highest that a worker has)', asCount)
    .option('-a, --attribute <key=value>', 'search attribute of each run; may be repeated', addAttribute)
}

function timesOf(options: TimesOptions): ScheduleTimes {
  const { cron, at, times } = options
  const json = readJson(times, '--times')
  if (json !== undefined && (typeof json !== 'object' || json === null || Array.isArray(json))) {
    throw new UsageError('--times: expected an object, such as {"cron": "0 3 * * *"}.')
  }
  return given({
    ...(json as ScheduleTimes | undefined),
    ...given({
      cron: cron?.length === 1 ? cron[0] : cron,
      at: at?.length === 1 ? at[0] : at,
      ...{ every: options.every, offset: options.offset, timeZone: options.timeZone },
      ...{ startAt: options.startAt, endAt: options.endAt, jitter: options.jitter },
    }),
  }) as ScheduleTimes
}

function settingsOf(options: SettingsOptions): ScheduleChange {
  const { overlap, catchUp, maxRuns, note, queue, priority, timeout, version, attribute, paused, input } = options
  return given({
    ...timesOf(options),
    ...{ overlap, catchUp, maxRuns, note, queue, priority, timeout, version, attributes: attribute, paused },
    ...(input === undefined ? {} : { input: readJson(input, '--input') }),
  }) as ScheduleChange
}

function given(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined))
}

async function create(id: string, workflow: string, options: CommonOptions & SettingsOptions): Promise<void> {
  const settings = { ...settingsOf(options), workflow } as ScheduleOptions
  await withSchedules(options, async (schedules) => {
    await schedules.create(id, settings)
    const [next] = await schedules.next(id, 1)
    if (isJson(options)) outJson({ id, workflow, next: next ?? null })
    else
      say(
        cleanLines(next === undefined ? `made: ${id} (paused)` : `made: ${id}; it fires next at ${next.toISOString()}`),
      )
  })
}

async function update(id: string, options: CommonOptions & SettingsOptions & { workflow?: string }): Promise<void> {
  const { workflow } = options
  const change = { ...settingsOf(options), ...(workflow === undefined ? {} : { workflow }) } as ScheduleChange
  if (Object.keys(change).length === 0) throw new UsageError('expected something to change, got none of the options.')
  await act(options, { id, updated: Object.keys(change) }, `updated: ${id}`, (schedules) =>
    schedules.update(id, change),
  )
}

async function list(options: CommonOptions): Promise<void> {
  await withSchedules(options, async (schedules) => {
    const all = await schedules.list()
    if (isJson(options)) {
      outJson({ schedules: all })
      return
    }
    if (all.length === 0) {
      say("there are no schedules. Make one: stet schedule create nightly <workflow> --cron '0 3 * * *'")
      return
    }
    const head = ['ID', 'WORKFLOW', 'TIMES', 'ZONE', 'NEXT', 'LAST', 'NOTE'].map((text) => paint('dim', text))
    const rows = all.map(({ id, workflow, times, timeZone, next, last, paused, note, problem }) => [
      clean(id),
      clean(workflow),
      shorten(clean(times), 60),
      clean(timeZone),
      problem !== undefined
        ? paint('red', 'cannot fire')
        : paused
          ? paint('yellow', 'paused')
          : (next?.toISOString() ?? paint('dim', 'no more')),
      last === undefined ? '' : when(last),
      shorten(clean(problem ?? note ?? ''), 80),
    ])
    out(table([head, ...rows]))
  })
}

async function show(id: string, options: CommonOptions & { fires?: number }): Promise<void> {
  await withSchedules(options, async (schedules) => {
    const { fires: count } = options
    const found = await schedules.describe(id, count === undefined ? {} : { fires: count })
    if (isJson(options)) {
      outJson({ ...found, ...(found.input === undefined ? {} : { input: plain(found.input) }) })
      return
    }
    const { workflow, times, timeZone, overlap, catchUpMs, nextFires, fires, paused, note, problem } = found
    out(`${paint('bold', clean(id))}  ${clean(times)} (${clean(timeZone)})${paused ? paint('yellow', '  paused') : ''}`)
    const facts: [string, string | undefined][] = [
      ['workflow', clean(workflow)],
      ['input', found.input === undefined ? undefined : shorten(jsonText(plain(found.input)), 200)],
      ['overlap', overlap],
      ['catch-up', formatMs(catchUpMs)],
      ['runs', `${found.runs}${found.maxRuns === undefined ? '' : ` of ${found.maxRuns}`}`],
      ['buffered', found.buffered === 0 ? undefined : String(found.buffered)],
      ['note', note === undefined ? undefined : clean(note)],
      ['problem', problem === undefined ? undefined : paint('red', clean(problem))],
      ['made by', { call: 'a call', config: 'stet.config', sql: 'SQL' }[found.source]],
      ['next', nextFires.length === 0 ? 'none' : nextFires.map((at) => at.toISOString()).join('  ')],
    ]
    out(table(facts.flatMap(([name, value]) => (value === undefined ? [] : [[paint('dim', name), value]]))))
    if (fires.length === 0) return
    out('')
    out(table([['SLOT', 'STATUS', 'BY', 'RUN', 'WHY'].map((text) => paint('dim', text)), ...fires.map(fireCells)]))
  })
}

function fireCells({ slot, until, status, via, id, runStatus, reason }: ScheduleFire): string[] {
  const colours = { started: 'green', due: 'dim', buffered: 'yellow', skipped: 'yellow', missed: 'red' } as const
  return [
    slot.toISOString() + (until === undefined ? '' : ` to ${until.toISOString()}`),
    paint(colours[status], status),
    via,
    status === 'started' ? `${clean(id)} (${runStatus ?? 'deleted'})` : '',
    shorten(clean(reason ?? ''), 80),
  ]
}

async function trigger(id: string, options: CommonOptions & { overlap?: OverlapPolicy }): Promise<void> {
  await withSchedules(options, async (schedules) => {
    const { overlap } = options
    const run = await schedules.trigger(id, overlap === undefined ? {} : { overlap })
    const buffered = run.runId === ''
    if (isJson(options)) {
      outJson({ id: run.id, runId: buffered ? null : run.runId, buffered })
      return
    }
    out(clean(run.id))
    say(buffered ? 'it starts when the earlier run has closed' : `see it: stet show ${clean(run.id)}`)
  })
}

async function backfill(
  id: string,
  { from, to = new Date(), overlap, ...options }: CommonOptions & { from: Date; to?: Date; overlap?: OverlapPolicy },
): Promise<void> {
  await withSchedules(options, async (schedules) => {
    const counts = await schedules.backfill(id, { from, to, ...(overlap === undefined ? {} : { overlap }) })
    const { started, buffered, skipped, existing } = counts
    if (isJson(options)) outJson({ id, ...counts })
    else say(`started ${started}, buffered ${buffered}, skipped ${skipped}; ${existing} had been dealt with before`)
  })
}

async function next(
  id: string | undefined,
  options: CommonOptions & TimesOptions & { count?: number; after?: Date },
): Promise<void> {
  const { count = 10, after } = options
  const times = timesOf(options)
  const isDry = Object.keys(times).length > 0
  if ((id === undefined) !== isDry)
    throw new UsageError('expected the id of a schedule, or when to fire (--cron, --every, …), one of both.')
  const tell = (slots: readonly Date[], timeZone: string | undefined) => {
    if (isJson(options)) outJson({ next: slots })
    else if (slots.length === 0) say('it fires no more, or is paused')
    else out(table(slots.map((slot) => [slot.toISOString(), paint('dim', localText(slot, timeZone ?? 'UTC'))])))
  }
  if (isDry) {
    const slots = new Slots(checkTimes(times, 'schedule'))
    const found: Date[] = []
    let slot = slots.next((after ?? new Date()).getTime())
    for (; slot !== null && found.length < count; slot = slots.next(slot)) found.push(new Date(slot))
    tell(found, times.timeZone)
    return
  }
  if (after !== undefined) throw new UsageError('--after: expected it with times that are no schedule yet, got an id.')
  await withSchedules(options, async (schedules) => {
    const { timeZone } = await schedules.describe(id!, { fires: 0 })
    tell(await schedules.next(id!, count), timeZone)
  })
}

function localText(at: Date, timeZone: string): string {
  const local = new Date(zoneOf(timeZone, 'timeZone').local(at.getTime()))
  const day = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][local.getUTCDay()]
  return `${day} ${local.toISOString().slice(0, 19).replace('T', ' ')} ${timeZone}`
}

async function withSchedules(options: DatabaseOptions, body: (schedules: Schedules) => Promise<void>): Promise<void> {
  await using connection = await connect(options)
  await body(connection.stet.schedules)
}

async function act(
  options: CommonOptions,
  value: object,
  text: string,
  body: (schedules: Schedules) => Promise<void>,
): Promise<void> {
  await withSchedules(options, async (schedules) => {
    await body(schedules)
    if (isJson(options)) outJson(value)
    else say(cleanLines(text))
  })
}
