/** Shapes of answers that several routes give. */
import { runStatuses } from '../core/statuses.js'
import {
  anything,
  choice,
  date,
  flag,
  integer,
  type JsonSchema,
  list,
  number,
  object,
  orNull,
  record,
  refTo,
  type Shapes,
  text,
} from './schema.js'

const count = integer(0, Number.MAX_SAFE_INTEGER)
const long = Number.MAX_SAFE_INTEGER
const open = (schema: JsonSchema): JsonSchema => ({ ...schema, additionalProperties: true })
const named = object({ id: text(), runId: text() })
const error = open(object({ name: text(), message: text(undefined, long) }))
const forkedFrom = object({ runId: text(), seq: count })
const any = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
const percentiles = orNull(object({ p50: number(), p95: number(), p99: number() }, {}, 'ms, within 5 %'))
const times = { durationMs: percentiles, delayMs: percentiles }
const rate = number('0 to 1')
const ofRuns = {
  ...{ started: count, completed: count, failed: count, cancelled: count, terminated: count, continued: count },
  ...{ blocked: count, perSecond: number(), failureRate: rate, ...times },
}
const ofSteps = {
  ...{ attempts: count, completed: count, failed: count, retried: count },
  ...{ perSecond: number(), failureRate: rate, retryRate: rate, ...times },
}
const part = { version: count, at: date('when the part of the window begins') }

export const shapes: Shapes = {
  Error: object({ error: object({ code: text('stable, for programs'), message: text('for people', long) }) }),
  Run: object(
    {
      ...{ id: text('the name that the caller gave'), runId: text('never used again') },
      ...{ workflow: text(), version: count, queue: text(), status: choice(runStatuses), createdAt: date() },
      attributes: record(anything()),
      historyLength: count,
    },
    {
      startedAt: date(),
      closedAt: date(),
      parent: named,
      forkedFrom,
      error,
      schedule: text(),
      scheduledFor: date(),
      superseded: flag('a later run has its id'),
    },
    'a run, as in lists',
  ),
  Step: object(
    {
      ...{ key: text('as in the graph'), kind: text(), status: text(), attempts: count },
      after: list(text(), long, 'keys of what it came after'),
      errors: list(object({ attempt: count, name: text(), message: text(undefined, long) }), long),
    },
    {
      ...{
        startedAt: date(),
        endedAt: date(),
        durationMs: number(),
        dueAt: date('when it is due, if it waits for a time'),
      },
      queuedMs: number('from the end of what it came after to its beginning'),
      where: text('file:line that asked for it'),
    },
  ),
  Graph: object({
    nodes: list(
      object(
        { key: text(), name: text(), kind: text(), status: text(), attempts: count },
        { startedAt: date(), endedAt: date() },
      ),
      long,
    ),
    edges: list(object({ from: text(), to: text() }), long),
  }),
  RunView: {
    ...object({
      run: open(
        object(
          {
            id: text(),
            runId: text(),
            workflow: text(),
            version: count,
            status: choice(runStatuses),
            createdAt: date(),
          },
          { output: anything(), input: anything() },
        ),
      ),
      steps: any(refTo('Step')) as never,
      graph: refTo('Graph') as never,
    }),
    description: 'a run as `stet show --json` has it',
  },
  Summary: object({
    run: open(
      object({
        ...{ id: text(), runId: text(), workflow: text(), version: count, queue: text(), priority: number() },
        ...{ status: choice(runStatuses), historyLength: count, createdAt: date(), startedAt: orNull(date()) },
        ...{ closedAt: orNull(date()), deadline: orNull(date()), due: orNull(date()), worker: orNull(text()) },
        error: anything('null, or what it failed with'),
        parent: anything('null, or the run that has started it'),
        attributes: anything('null, or its search attributes'),
        problem: anything('null, or why it is blocked'),
        waits: any(
          open(
            object({ op: count, kind: text(), name: text(), causes: text(), askedAt: number('ms since the epoch') }),
          ),
        ) as never,
        input: anything('what it was started with; { omitted: <bytes> } where that is long'),
      }),
    ),
  }),
  Event: object(
    { seq: integer(1, long), type: text(), at: date() },
    { op: count, name: text(), data: anything('what it carries, and facts about it') },
  ),
  Reason: object({ code: text('stable'), message: text('one sentence', long), evidence: record(anything()) }),
  Worker: object({
    ...{ id: text(), host: orNull(text()), pid: orNull(number()), queues: list(text(), long) },
    workflows: list(object({ name: text(), version: count }), long),
    ...{ runs: count, startedAt: orNull(date()), beatAgeMs: number() },
  }),
  Queue: object({
    ...{ queue: text(), ready: count, oldestAgeMs: orNull(number('how long the first of those has been ready')) },
    ...{
      running: count,
      waiting: count,
      paused: integer(0, long, 'runs that are paused, each by itself'),
      blocked: count,
      isPaused: flag('nothing of the queue is claimed'),
      workers: integer(0, long, 'workers that listen on it'),
      concurrency: orNull(number('of its runs so many may be in hand at once')),
    },
  }),
  Done: object({ id: text(), runId: text(), status: choice(runStatuses) }, {}, 'the run, as it stands now'),
  Forked: object(
    { id: text(), runId: text(), kept: count, of: count, anew: orNull(text()), forkedFrom },
    {},
    'the new run, and what it shares with the other',
  ),
  Many: object(
    {
      dryRun: flag(),
      done: list(
        object(
          { id: text(), runId: text(), workflow: text(), status: choice(runStatuses) },
          { made: named, kept: count },
        ),
        long,
        'runs for which it was done, or would be; `made`: the new run',
      ),
      failed: list(object({ id: text(), runId: text(), code: text(), message: text(undefined, long) }), long),
    },
    {
      left: list(text(), long, 'runs that there was no time for'),
      count: count,
      more: flag(
        'of a dry run by a filter: `count` runs fit it, and perhaps more; `done` and `failed` are of the newest',
      ),
      bulk: refTo('Bulk'),
    },
  ),
  Bulk: object(
    {
      ...{ id: text(), operation: text(), filter: record(anything()), actor: text(), state: text(), createdAt: date() },
      ...{ expectedMore: flag('more runs fitted than were counted'), seen: count, done: count, failed: count },
      held: count,
      refused: record(count, 'how many, by the code of the reason'),
      examples: list(object({ id: text(), runId: text(), code: text(), message: text(undefined, long) }), long),
    },
    { reason: text(undefined, long), closedAt: date(), expected: count, problem: text(undefined, long) },
    'an operation on all runs that a filter names, and how it gets on',
  ),
  Stats: object({
    ...{ from: date(), to: date() },
    runs: list(object({ workflow: text(), ...ofRuns }, { ...part, before: object(ofRuns) }), long),
    steps: list(object({ workflow: text(), step: text(), ...ofSteps }, { ...part, before: object(ofSteps) }), long),
  }),
  AuditRow: object({
    ...{ n: count, at: date(), actor: text(), role: text(), action: text() },
    ...{ runId: orNull(text()), id: orNull(text()), details: record(anything()) },
  }),
}
