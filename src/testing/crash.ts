/**
 * A workflow, crashed at every place where it makes a difference.
 *
 * A crash here is what the loss of a worker is in production: its row goes, so that nothing of it is accepted any more;
 * what it had in memory is gone; another incarnation takes its runs over and replays them.
 */
import { encode, encodeError } from '../core/codec.js'
import { InvalidInputError, RunFailedError, StetError } from '../core/errors.js'
import type { AnyWorkflow, Handle, Log, Workflow } from '../core/types.js'
import { definition } from '../core/workflow.js'
import type { CrashPoint } from '../worker/host.js'
import { Env, type TestEnv, type TestOptions } from './env.js'

export interface CrashOptions extends Omit<TestOptions, 'workflows'> {
  /** Takes a run to its end: sends its signals, moves the clock. Default: `env.clock.runToIdle()`. */
  drive?: (run: Handle<any>, env: TestEnv) => Promise<void>
  /** The part of an output that must be the same each time; default: all of it. */
  compare?: (output: any) => unknown
}

/**
 * Runs a workflow once undisturbed, then once for each crash point of that run: before a step's body begins, after its
 * effect and before the record of it, and after that record was committed, for each attempt of each step. Every
 * execution must come to the outcome of the first. Steps may run twice, as they may in production: have them be
 * idempotent, or replace them.
 *
 * Resolves with the number of crashes, and the number of different outcomes, which is 1.
 * @throws StetError code `crash_outcome` naming the first crash point after which the run ended otherwise
 * @example
 * const { crashPoints } = await crashEverywhere(order, { item: 'book' }, {
 *   steps: { 'charge payment': (step) => charges.add(step.idempotencyKey) },
 * })
 */
export async function crashEverywhere<I>(
  workflow: Workflow<I, any>,
  input: I,
  options: CrashOptions = {},
): Promise<{ crashPoints: number; outcomes: number }> {
  if (definition(workflow) === undefined) {
    throw new InvalidInputError(
      `crashEverywhere: expected a workflow (what workflow() or dag() returns), got ${typeof workflow}.`,
    )
  }
  const { drive = (_run, env) => env.clock.runToIdle(), compare = (output) => output, ...rest } = options
  const passed: { point: CrashPoint; step: string }[] = []
  /** The how manieth place is crashed at, from 1; 0: none. */
  let crashAt = 0
  const passing = (point: CrashPoint, step: string) => {
    passed.push({ point, step })
    if (passed.length === crashAt) env.worker.crash()
  }
  const env: Env = await Env.open({ log: errorsAlone, ...rest, workflows: [workflow as AnyWorkflow] }, { passing })
  const execute = async () => {
    passed.length = 0
    const run = await env.stet.start(workflow as Workflow<unknown, any>, input as unknown)
    await drive(run, env)
    return outcomeOf(run, compare)
  }
  try {
    const expected = await execute()
    const points = [...passed]
    let crashPoints = 0
    for (crashAt = 1; crashAt <= points.length; crashAt++) {
      const got = await execute()
      // Steps that run side by side may take turns in another order; then it is another place, and counts as well.
      const place = passed[crashAt - 1]
      if (place === undefined) continue
      crashPoints++
      if (got !== expected) throw otherwise(crashAt, points.length, place, expected, got)
    }
    return { crashPoints, outcomes: 1 }
  } finally {
    await env[Symbol.asyncDispose]()
  }
}

async function outcomeOf(run: Handle<any>, compare: (output: any) => unknown): Promise<string> {
  const { status, closedAt } = await run.describe()
  if (closedAt === undefined) {
    throw new StetError(
      'not_closed',
      `crashEverywhere: expected run ${run.runId} to have ended, it is ${status}. Pass drive: async (run, env) => { … } that sends what it waits for.`,
    )
  }
  try {
    const output = await run.result()
    return `completed with ${encode(compare(output), 'what compare returned') ?? 'undefined'}`
  } catch (error) {
    if (!(error instanceof RunFailedError)) throw error
    const { name, message } = JSON.parse(encodeError(error.cause)) as { name: string; message: string }
    return `${status} with ${name}: ${message}`
  }
}

const places: Record<CrashPoint, (step: string) => string> = {
  before: (step) => `before step "${step}"`,
  effect: (step) => `after the effect of step "${step}", before it was recorded`,
  commit: (step) => `after step "${step}" was recorded`,
}

function otherwise(
  n: number,
  of: number,
  { point, step }: { point: CrashPoint; step: string },
  expected: string,
  got: string,
): StetError {
  return new StetError(
    'crash_outcome',
    `crashEverywhere: a crash ${places[point](step)} (crash point ${n} of ${of}) changed the outcome.\n  expected: ${expected}\n  got:      ${got}\n  A step may run again after a crash, with the same step.idempotencyKey: its effect must be the same then.`,
  )
}

/** That a worker is lost is the point here, and no news. */
const errorsAlone: Log = {
  debug() {},
  info() {},
  warn() {},
  error: (message, fields) => process.emitWarning(`${message} ${JSON.stringify(fields ?? {})}`, { type: 'stet' }),
}
