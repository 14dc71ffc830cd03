/** Limits and queues, for users: `stet.limits`. */
import { durationMs } from '../core/duration.js'
import { InvalidInputError } from '../core/errors.js'
import { checkName } from '../core/ids.js'
import { checkKey, checkLimit, checkRate } from '../core/limits.js'
import type { Limit, LimitBounds, Limits, LimitTarget } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import type { LimitRule, LimitState, LimitTarget as StoredTarget } from '../store/limits.js'
import type { Store } from '../store/port.js'

export class StoredLimits implements Limits {
  readonly #ready: () => Promise<{ readonly store: Store; readonly hints: Hints }>

  constructor(ready: () => Promise<{ readonly store: Store; readonly hints: Hints }>) {
    this.#ready = ready
  }

  async list(): Promise<Limit[]> {
    return (await (await this.#ready()).store.limitStates()).map(toLimit)
  }

  async set(target: LimitTarget, { concurrency, rate }: LimitBounds): Promise<void> {
    const to = targetOf(target)
    const given = {
      ...(concurrency === undefined ? {} : { concurrency: numberOrNull(concurrency) }),
      ...(rate === undefined ? {} : { rate: rateOrNull(rate) }),
    }
    if (Object.keys(given).length === 0) {
      throw new InvalidInputError(
        'limits.set: expected concurrency, rate or both, got neither. null takes a bound away.',
      )
    }
    const { store } = await this.#ready()
    const { concurrency: slots = null, rate: begins = null } = (await ruleOf(store, to)) ?? {}
    await store.setLimit(to, { bounds: { concurrency: slots, rate: begins, ...given } })
    await this.#tell()
  }

  async reset(target: LimitTarget): Promise<boolean> {
    const was = await (await this.#ready()).store.resetLimit(targetOf(target))
    await this.#tell()
    return was
  }

  pause(target: LimitTarget): Promise<void> {
    return this.#setPaused(target, true)
  }

  resume(target: LimitTarget): Promise<void> {
    return this.#setPaused(target, false)
  }

  async #setPaused(target: LimitTarget, paused: boolean): Promise<void> {
    const to = targetOf(target)
    const { store } = await this.#ready()
    const known = await ruleOf(store, to)
    if (!paused && known === undefined) return
    const isBound = known !== undefined && (known.concurrency ?? known.rate ?? known.declared) !== null
    // One that does nothing but pause goes with it.
    if (!paused && !isBound) await store.resetLimit(to)
    else await store.setLimit(to, { paused })
    await this.#tell()
  }

  /** Workers look at once. */
  async #tell(): Promise<void> {
    const { hints } = await this.#ready()
    hints.publish([{ kind: 'workers', ids: [] }])
  }
}

async function ruleOf(store: Store, { scope, name, key }: StoredTarget): Promise<LimitRule | undefined> {
  return (await store.limits()).find((each) => each.scope === scope && each.name === name && each.key === key)
}

function targetOf(target: LimitTarget): StoredTarget {
  const { queue, workflow, key } = (target ?? {}) as { queue?: string; workflow?: string; key?: string }
  if ((queue === undefined) === (workflow === undefined)) {
    throw new InvalidInputError(
      "limit: expected a queue or a workflow, such as { queue: 'mail' } or { workflow: 'order', key: 'customer.id' }, got " +
        `${queue === undefined ? 'neither' : 'both'}.`,
    )
  }
  const [scope, name] = queue === undefined ? (['workflow', workflow] as const) : (['queue', queue] as const)
  checkName(name!, `limit, ${scope}`)
  return { scope, name: name!, key: checkKey(key, 'limit, key') }
}

function numberOrNull(limit: number | null): number | null {
  return limit === null ? null : checkLimit(limit, 'limit, concurrency', 0)
}

function rateOrNull(rate: LimitBounds['rate']): { limit: number; periodMs: number } | null {
  if (rate === null || rate === undefined) return null
  return checkRate({ limit: rate.limit, periodMs: durationMs(rate.period, 'limit, rate.period') }, 'limit, rate')
}

function toLimit(state: LimitState): Limit {
  const { scope, name, key, concurrency, rate, paused, overridden, declared } = state
  const { running, queued, oldestMs, gates, full, fullGates } = state
  return {
    target: scope === 'queue' ? { queue: name, ...keyed(key) } : { workflow: name, ...keyed(key) },
    concurrency,
    rate,
    paused,
    source: declared === null || overridden ? 'runtime' : 'code',
    declared,
    running,
    queued,
    oldestMs,
    begun: key === null ? (gates[0]?.begun ?? null) : null,
    full,
    values: key === null ? [] : gates.map(({ value, running, begun }) => ({ value: value ?? '', running, begun })),
    fullValues: fullGates.map(({ value, ...counts }) => ({ ...counts, value: value ?? '' })),
  }
}

const keyed = (key: string | null) => (key === null ? {} : { key })
