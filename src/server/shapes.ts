/** Shapes of answers that several routes give. */
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

export const statuses = [
  ...(['pending', 'running', 'waiting', 'paused', 'blocked'] as const),
  ...(['completed', 'failed', 'cancelled', 'terminated', 'continued'] as const),
] as const
export const openStatuses = statuses.slice(0, 5)

const count = integer(0, Number.MAX_SAFE_INTEGER)
const long = Number.MAX_SAFE_INTEGER
const open = (schema: JsonSchema): JsonSchema => ({ ...schema, additionalProperties: true })
const named = object({ id: text(), runId: text() })
const error = open(object({ name: text(), message: text(undefined, long) }))
const forkedFrom = object({ runId: text(), seq: count })
const any = (items: JsonSchema): JsonSchema => ({ type: 'array', items })

export const shapes: Shapes = {
  Error: object({ error: object({ code: text('stable, for programs'), message: text('for people', long) }) }),
  Run: object(
    {
      ...{ id: text('the name that the caller gave'), runId: text('never used again') },
      ...{ workflow: text(), version: count, queue: text(), status: choice(statuses), createdAt: date() },
      attributes: record(anything()),
      historyLength: count,
    },
    { startedAt: date(), closedAt: date(), parent: named, forkedFrom, error },
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
          { id: text(), runId: text(), workflow: text(), version: count, status: choice(statuses), createdAt: date() },
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
        ...{ status: choice(statuses), historyLength: count, createdAt: date(), startedAt: orNull(date()) },
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
  Done: object({ id: text(), runId: text(), status: choice(statuses) }, {}, 'the run, as it stands now'),
  Forked: object(
    { id: text(), runId: text(), kept: count, of: count, anew: orNull(text()), forkedFrom },
    {},
    'the new run, and what it shares with the other',
  ),
  Bulk: object(
    {
      dryRun: flag(),
      done: list(
        object({ id: text(), runId: text(), workflow: text(), status: choice(statuses) }, { made: named, kept: count }),
        long,
        'runs for which it was done, or would be; `made`: the new run',
      ),
      failed: list(object({ id: text(), runId: text(), code: text(), message: text(undefined, long) }), long),
    },
    { next: text('give it back as `after` to go on'), left: list(text(), long, 'runs that there was no time for') },
  ),
  AuditRow: object({
    ...{ n: count, at: date(), actor: text(), role: text(), action: text() },
    ...{ runId: orNull(text()), id: orNull(text()), details: record(anything()) },
  }),
}
