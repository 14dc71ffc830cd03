/** A workflow, with the steps that execute side by side completing in every order. */
import { InvalidInputError, StetError } from '../core/errors.js'
import { oneOf } from '../core/options.js'
import { randomFrom } from '../core/random.js'
import type { AnyWorkflow, Workflow } from '../core/types.js'
import { Choices } from './choices.js'
import { type ExecutionOptions, Executions } from './executions.js'
import type { Place } from './gate.js'

export interface OrderOptions extends ExecutionOptions {
  /** At most so many executions; default 200. If there are more orders than that, it is a sample of them. */
  maxOrders?: number
  /** What the sample is drawn with; default 1. The same seed draws the same orders. */
  seed?: number | string
  /** `one` (default): all orders must come to the same outcome. `any`: outcomes may differ, as those of a race do. */
  outcomes?: 'one' | 'any'
}

export interface Orders {
  /** How many orders were executed, no two of them alike. */
  orders: number
  /** How many different outcomes they came to. */
  outcomes: number
  /** There is no further order. */
  complete: boolean
  /** Each outcome, with the first order that came to it: the steps as they completed. */
  examples: { outcome: string; order: string[] }[]
}

/**
 * Runs a workflow once for each order in which the steps that execute side by side can complete: whenever several have
 * come to their effect, each of them is once the first to be recorded. Every order must come to the same outcome, and
 * each execution is replayed. Steps of children and of other runs take part, if their `workflows` are given. Timers do
 * not: time moves when no step executes.
 *
 * If there are more orders than `maxOrders`, they are a sample drawn with `seed`, and `complete` is false.
 * @throws StetError code `order_outcome` naming two orders that ended otherwise; `order_count` when the steps that
 * execute side by side are not the same each time; `not_closed` when a run still waits; `nondeterminism` when one does
 * not replay as it ran
 * @example
 * const { orders, complete } = await completeInEveryOrder(order, { item: 'book' }) // { orders: 6, complete: true, … }
 * @example
 * // Whoever is first wins: both outcomes are fine.
 * const { outcomes } = await completeInEveryOrder(fastest, undefined, { outcomes: 'any' }) // 2
 */
export async function completeInEveryOrder<I>(
  workflow: Workflow<I, any>,
  input: I,
  options: OrderOptions = {},
): Promise<Orders> {
  const { maxOrders = 200, seed = 1, outcomes: wanted, ...rest } = options
  if (!Number.isInteger(maxOrders) || maxOrders < 1) {
    throw new InvalidInputError(`completeInEveryOrder: maxOrders: expected a whole number from 1, got ${maxOrders}.`)
  }
  const any = oneOf(wanted, ['one', 'any'], 'completeInEveryOrder: outcomes') === 'any'
  const choices = new Choices(randomFrom(String(seed)))
  const order: string[] = []
  const executions = new Executions('completeInEveryOrder', workflow as AnyWorkflow, input, rest, {
    choose: (places) => choices.choose(places.map(nameOf)),
    pass: (point, place) => {
      if (point === 'commit') order.push(nameOf(place))
    },
  })
  const examples: Orders['examples'] = []
  let orders = 0
  try {
    while (orders < maxOrders && !choices.exhausted) {
      order.length = 0
      const outcome = await executions.next()
      const changed = choices.end()
      if (changed !== null) throw otherChoices(changed)
      orders++
      if (examples.some((example) => example.outcome === outcome)) continue
      examples.push({ outcome, order: [...order] })
      if (!any && examples.length > 1) throw otherwise(examples[0]!, examples[1]!)
    }
    return { orders, outcomes: examples.length, complete: choices.exhausted, examples }
  } finally {
    await executions[Symbol.asyncDispose]()
  }
}

function nameOf({ run, workflow, step, attempt }: Place): string {
  return `${step}${attempt === 1 ? '' : ` (attempt ${attempt})`}${run === workflow ? '' : ` of ${run}`}`
}

type Example = Orders['examples'][number]

function otherwise(one: Example, other: Example): StetError {
  const tell = ({ outcome, order }: Example) => `  ${order.join(', ')}\n    ${outcome}`
  return new StetError(
    'order_outcome',
    `completeInEveryOrder: the outcome depends on the order in which steps complete.\n${tell(one)}\n${tell(other)}\n  If both are meant (a race), pass { outcomes: 'any' }; if only a part of the output must be the same, pass compare.`,
  )
}

function otherChoices({ expected, got }: { expected: readonly string[]; got: readonly string[] }): StetError {
  return new StetError(
    'order_count',
    `completeInEveryOrder: expected the same steps side by side each time that the steps before them completed in the same order, first: ${expected.join(', ')}; then: ${got.join(', ') || 'none'}.\n  Which steps there are must follow from the input alone: not from Math.random() or ids, which each run has its own of, nor from what earlier executions left behind.`,
  )
}
