/** `ctx.map`: the same workflow code over many items, so many at once, until all are done or enough is known. */
import { CancelledFailure, InvalidInputError } from './errors.js'
import type { MapResult } from './types.js'

export interface MapPolicy {
  readonly concurrency: number
  readonly minSuccessful: number | null
  readonly toleratedFailures: number | null
}

/** @throws InvalidInputError naming the option */
export function resolveMapPolicy(
  options: { concurrency?: number; minSuccessful?: number; toleratedFailures?: number | `${number}%` },
  count: number,
  what: string,
): MapPolicy {
  const whole = (value: unknown, option: string, from: number) => {
    if (Number.isInteger(value) && (value as number) >= from) return value as number
    throw new InvalidInputError(`${what}, ${option}: expected a whole number from ${from}, got ${String(value)}.`)
  }
  const { concurrency, minSuccessful, toleratedFailures } = options
  return {
    concurrency: concurrency === undefined ? Number.POSITIVE_INFINITY : whole(concurrency, 'concurrency', 1),
    minSuccessful: minSuccessful === undefined ? null : whole(minSuccessful, 'minSuccessful', 1),
    toleratedFailures:
      toleratedFailures === undefined
        ? null
        : typeof toleratedFailures === 'string'
          ? Math.floor((count * percent(toleratedFailures, what)) / 100)
          : whole(toleratedFailures, 'toleratedFailures', 0),
  }
}

function percent(text: string, what: string): number {
  const value = /^\d+(\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN
  if (value >= 0 && value <= 100) return value
  throw new InvalidInputError(`${what}, toleratedFailures: expected a whole number or '0%' to '100%', got '${text}'.`)
}

/**
 * Runs `begin` for each item and resolves with all results, or, with a policy, with what is known when it is enough.
 * `stopped` is told why, when items are left. Without a policy the first failure rejects, and no further item begins.
 */
export function mapItems<A, B>(
  items: readonly A[],
  policy: MapPolicy,
  begin: (item: A, index: number) => Promise<B>,
  stopped: (reason: string) => void,
): Promise<B[] | MapResult<A, B>> {
  const { concurrency, minSuccessful, toleratedFailures } = policy
  const lenient = minSuccessful !== null || toleratedFailures !== null
  const failures: { index: number; item: A; error: Error }[] = []
  const values = new Map<number, B>()
  const outcome = (reason: MapResult<A, B>['reason']): MapResult<A, B> => ({
    values: items.flatMap((_, i) => (values.has(i) ? [values.get(i)!] : [])),
    failures: [...failures].sort((a, b) => a.index - b.index),
    notStarted: items.length - next,
    reason,
  })
  const left = () => items.length - values.size - failures.length
  let next = 0
  let over = false

  return new Promise((resolve, reject) => {
    const stop = (reason: 'minSuccessful' | 'toleratedFailures') => {
      over = true
      if (left() > 0)
        stopped(`${reason}: ${values.size} succeeded, ${failures.length} failed, ${left()} of ${items.length} are left`)
      resolve(outcome(reason))
    }
    // Each item settles a promise of its own, so that the result has seen all of them and not only the last.
    const slots = items.map(() => deferred())
    const succeeded = (index: number, value: B) => {
      values.set(index, value)
      slots[index]!.resolve()
      if (!over && minSuccessful !== null && values.size >= minSuccessful && left() > 0) stop('minSuccessful')
      else beginMore()
    }
    const failed = (index: number, error: unknown) => {
      if (over) return
      if (!lenient || error instanceof CancelledFailure) {
        over = true
        reject(error)
        return
      }
      failures.push({ index, item: items[index]!, error: error as Error })
      slots[index]!.resolve()
      if (toleratedFailures !== null && failures.length > toleratedFailures) stop('toleratedFailures')
      else beginMore()
    }
    let running = 0
    const beginMore = () => {
      while (!over && next < items.length && running < concurrency) {
        const index = next++
        running++
        let result: Promise<B>
        try {
          result = Promise.resolve(begin(items[index]!, index))
        } catch (error) {
          result = Promise.reject(error)
        }
        result.then(
          (value) => {
            running--
            succeeded(index, value)
          },
          (error) => {
            running--
            failed(index, error)
          },
        )
      }
    }
    beginMore()
    Promise.all(slots.map(({ promise }) => promise)).then(() => {
      if (over) return
      resolve(lenient ? outcome('all') : items.map((_, i) => values.get(i)!))
    })
  })
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
