/** What a caller asks for when it starts a run, checked and put into the words of the store. */
import { checkAttributes } from '../core/attributes.js'
import { encode } from '../core/codec.js'
import { durationMs } from '../core/duration.js'
import { InvalidInputError } from '../core/errors.js'
import type { EventFacts } from '../core/events.js'
import type { Hint } from '../core/hint.js'
import { checkName, newRunId } from '../core/ids.js'
import { checkPriority, oneOf } from '../core/options.js'
import type { AnyWorkflow, StartOptions } from '../core/types.js'
import { validate } from '../core/validate.js'
import { definition } from '../core/workflow.js'
import type { Debounce, StartRequest } from './port.js'

/** Under a symbol, so that no option of a user's can be taken for it. */
const startFacts = Symbol('facts of the start')

interface WithFacts extends StartOptions {
  readonly [startFacts]?: EventFacts
}

/** The same options, with facts for the record of the start. */
export function withStartFacts(options: StartOptions, facts: EventFacts): StartOptions {
  return { ...options, [startFacts]: facts } as WithFacts
}

/** @throws InvalidInputError naming the option, or what of the input does not fit its schema */
export async function startRequest(
  workflow: AnyWorkflow | string,
  input: unknown,
  options: StartOptions,
): Promise<StartRequest> {
  const def = typeof workflow === 'string' ? undefined : definition(workflow)
  const name = typeof workflow === 'string' ? workflow : def?.name
  if (name === undefined) {
    throw new InvalidInputError(
      `start: expected a workflow (what workflow() or dag() returns) or its name, got ${workflow === null ? 'null' : typeof workflow}.`,
    )
  }
  checkName(name, 'start: workflow name')
  if (options.id !== undefined) checkName(options.id, 'start: id')
  const what = `start of "${name}"`
  oneOf(options.ifOpen, ['existing', 'fail', 'terminate'], `${what}: ifOpen`)
  const ifClosed = oneOf(options.ifClosed, ['existing', 'new', 'newIfFailed', 'fail'], `${what}: ifClosed`)
  const priority = options.priority ?? def?.priority ?? 0
  checkPriority(priority, `${what}: priority`)
  if (options.startAt !== undefined && Number.isNaN(options.startAt?.getTime?.() ?? Number.NaN)) {
    throw new InvalidInputError(`${what}: startAt: expected a valid Date, got ${String(options.startAt)}.`)
  }
  const debounce = options.debounce === undefined ? null : checkDebounce(options, what)
  const { queue = def?.queue ?? 'default' } = options
  checkName(queue, `${what}: queue`)
  const checked = def?.input === undefined ? input : await validate(def.input, input, `the input of workflow "${name}"`)
  const runId = newRunId()
  return {
    runId,
    id: options.id ?? runId,
    workflow: name,
    version: def?.version ?? null,
    queue,
    priority,
    // What is past is now; no database has all the days that a Date has.
    startAt: options.startAt === undefined ? null : Math.max(0, options.startAt.getTime()),
    delayMs: options.delay === undefined ? 0 : durationMs(options.delay, `${what}: delay`),
    timeoutMs:
      options.timeout === undefined ? (def?.timeoutMs ?? null) : durationMs(options.timeout, `${what}: timeout`),
    payload: encode(checked, `the input of workflow "${name}"`),
    facts: (options as WithFacts)[startFacts] ?? null,
    attributes: options.attributes === undefined ? null : checkAttributes(options.attributes, what),
    ifClosed,
    debounce,
  }
}

/** How long from now a run that is started by this begins, if no other stands for it, ms. */
export function firstDelayMs({ delayMs, debounce }: StartRequest): number {
  return debounce === null ? delayMs : Math.min(debounce.waitMs, debounce.maxWaitMs ?? debounce.waitMs)
}

/** Runs that may not begin yet: whoever is there wakes them in time. `now`: ms since the epoch. */
export function laterHints(requests: readonly StartRequest[], now: number): Hint[] {
  return requests.flatMap((request) => {
    const inMs = Math.max(firstDelayMs(request), request.startAt === null ? 0 : request.startAt - now)
    return inMs > 0 ? [{ kind: 'later' as const, inMs }] : []
  })
}

/** What says otherwise when a run begins, or which run it is. */
const notDebounced = ['id', 'startAt', 'delay', 'ifOpen', 'ifClosed'] as const

function checkDebounce(options: StartOptions, what: string): Debounce {
  const { debounce } = options
  if (typeof debounce !== 'object' || debounce === null) {
    throw new InvalidInputError(
      `${what}: debounce: expected { key, wait, maxWait }, such as { key: 'user-7', wait: '30s' }, got ${String(debounce)}.`,
    )
  }
  const other = notDebounced.find((name) => options[name] !== undefined)
  if (other !== undefined) {
    throw new InvalidInputError(
      `${what}: debounce and ${other} cannot both be given: starts with one key are one run, which begins after the wait. Leave one out.`,
    )
  }
  checkName(debounce.key, `${what}: debounce.key`)
  const waitMs = durationMs(debounce.wait, `${what}: debounce.wait`)
  const maxWaitMs = debounce.maxWait === undefined ? null : durationMs(debounce.maxWait, `${what}: debounce.maxWait`)
  return { key: debounce.key, waitMs, maxWaitMs }
}
