/**
 * A workflow, crashed at every place where it makes a difference.
 *
 * A crash here is what the loss of a worker is in production: its row goes, so that nothing of it is accepted any more;
 * what it had in memory is gone; another incarnation takes its runs over and replays them. What the lost one was about
 * to write comes late, when its run has another owner, and must be refused.
 */
import { StetError } from '../core/errors.js'
import type { AnyWorkflow, Workflow } from '../core/types.js'
import type { Runner } from '../worker/runner.js'
import { countCrashPoints } from './crash-points.js'
import { type ExecutionOptions, Executions } from './executions.js'
import { type CrashPoint, type Place, placeKey } from './gate.js'
import { LateWrites } from './late-writes.js'

export interface CrashOptions extends ExecutionOptions {}

interface Passed {
  readonly point: CrashPoint
  readonly place: Place
}

/**
 * Runs a workflow once undisturbed, then once for each crash point of that run. For each attempt of each step that is
 * on record there are three: before its body begins; after its effect, before the record of it; after that record was
 * committed. Where steps execute side by side there is a fourth: one of them is on record and the run has gone on from
 * there, the effects of the others are done and not recorded. Results go on one at a time, so that each execution
 * passes the same places; steps of children and of other runs count, if their `workflows` are given.
 *
 * Every execution must come to the outcome of the first. Steps may run twice, as they may in production: have them be
 * idempotent, or replace them.
 *
 * Resolves with the number of crashes; the number of crash points that follow from the recorded histories, which is the
 * same; and the number of different outcomes, which is 1.
 * @throws StetError code `crash_outcome` naming the first crash point after which the run ended otherwise; `crash_count`
 * when the places are not those that the history tells of, or not the same each time; `crash_fence` when something of a
 * lost worker was accepted; `not_closed` when a run still waits; `nondeterminism` when one does not replay as it ran
 * @example
 * const { crashPoints } = await crashEverywhere(order, { item: 'book' }, {
 *   steps: { 'charge payment': (step) => charges.add(step.idempotencyKey) },
 * })
 */
export async function crashEverywhere<I>(
  workflow: Workflow<I, any>,
  input: I,
  options: CrashOptions = {},
): Promise<{ crashPoints: number; expected: number; outcomes: number }> {
  const passed: Passed[] = []
  let target: Passed | null = null
  let crashed = false
  const pass = (point: CrashPoint, place: Place, runner: Runner) => {
    if (target === null) passed.push({ point, place })
    if (crashed || target === null || textOf(target) !== textOf({ point, place })) return
    const lost = executions.env.worker.crash()
    if (lost === null) return
    crashed = true
    late.expect(executions.store(), lost, runner, place)
  }
  const executions: Executions = new Executions('crashEverywhere', workflow as AnyWorkflow, input, options, {
    pass,
    choose: () => 0,
    took: (runner) => late.took(runner),
  })
  const late = new LateWrites()
  try {
    const undisturbed = await executions.next()
    const points = onRecord(passed)
    const expected = await countCrashPoints(await executions.runs())
    if (points.length !== expected) throw miscounted(points, expected)
    for (const [i, point] of points.entries()) {
      target = point
      crashed = false
      const where = `${places[point.point](nameOf(point.place))} (crash point ${i + 1} of ${points.length})`
      // What was accepted of a lost worker is the reason for whatever else went wrong.
      const outcome = await executions.next().finally(() => late.check(where))
      if (!crashed) throw notPassed(where)
      if (outcome !== undisturbed) throw otherwise(where, undisturbed, outcome)
    }
    return { crashPoints: points.length, expected, outcomes: 1 }
  } finally {
    await executions[Symbol.asyncDispose]()
  }
}

/** What an attempt did that nobody recorded (the loser of a race) is in no history: no crash is at its places. */
function onRecord(passed: readonly Passed[]): Passed[] {
  const recorded = new Set(passed.filter(({ point }) => point === 'commit').map(({ place }) => placeKey(place)))
  return passed.filter(({ place }) => recorded.has(placeKey(place)))
}

function textOf({ point, place }: Passed): string {
  return `${point} ${placeKey(place)}`
}

const places: Record<CrashPoint, (step: string) => string> = {
  before: (step) => `before step ${step}`,
  effect: (step) => `after the effect of step ${step}, before it was recorded`,
  commit: (step) => `after step ${step} was recorded`,
  settled: (step) =>
    `after step ${step} was recorded and the run had gone on from it, those beside it not recorded yet`,
}

function nameOf({ run, workflow, step, attempt }: Place): string {
  const tried = attempt === 1 ? '' : `, attempt ${attempt}`
  return `"${step}"${tried}${run === workflow ? '' : ` of run ${run} ("${workflow}")`}`
}

function miscounted(points: readonly Passed[], expected: number): StetError {
  const list = points.map(({ point, place }) => `    ${point} ${nameOf(place)}`).join('\n')
  return new StetError(
    'crash_count',
    `crashEverywhere: expected ${expected} crash points by the recorded histories, came by ${points.length}:\n${list}\n  Does drive send something while steps execute? Have it move the clock first: await env.clock.advance(0).`,
  )
}

function notPassed(where: string): StetError {
  return new StetError(
    'crash_count',
    `crashEverywhere: expected each execution to pass the same places, but one did not come by this: ${where}.\n  Which steps there are must follow from the input alone: not from Math.random() or ids, which each run has its own of, nor from what earlier executions left behind.`,
  )
}

function otherwise(where: string, expected: string, got: string): StetError {
  return new StetError(
    'crash_outcome',
    `crashEverywhere: a crash ${where} changed the outcome.\n  expected: ${expected}\n  got:      ${got}\n  A step may run again after a crash, with the same step.idempotencyKey: its effect must be the same then.`,
  )
}
