/** Limits in words and in addresses. */
import { formatMs } from '../../core/duration.ts'
import type { Limit, LimitTarget } from '../../core/types.ts'
import { count } from './format.ts'

export type Bounds = Pick<Limit, 'concurrency' | 'rate'>

/** `queue mail`, `workflow order by customer.id` */
export function nameOf({ queue, workflow, key }: LimitTarget): string {
  const of = queue === undefined ? `workflow ${workflow}` : `queue ${queue}`
  return key === undefined ? of : `${of} by ${key}`
}

/** What the address of the page says of the limit that is looked at. */
export const placeOf = ({ queue, workflow, key }: LimitTarget) => ({
  queue: queue ?? null,
  workflow: workflow ?? null,
  key: key ?? null,
})

export function limitHref(target: LimitTarget): string {
  const said = Object.entries(placeOf(target)).filter(([, value]) => value !== null)
  return `/queues?${new URLSearchParams(said as [string, string][])}`
}

/** `5 at once`, `5 at once of each customer.id, and 100 begun in any 1 s` */
export function boundsInWords({ concurrency, rate }: Bounds, key?: string): string {
  const each = key === undefined ? '' : ` of each ${key}`
  const words = [
    ...(concurrency === null ? [] : [`${count(concurrency)} at once`]),
    ...(rate === null ? [] : [`${count(rate.limit)} begun in any ${formatMs(rate.periodMs)}`]),
  ]
  if (words.length > 0) return `${words.join(' and ')}${each}`
  return key === undefined ? 'any number' : `any number, turn about between the values of ${key}`
}

/** A limit that lets nobody through while runs wait for it; one with a key: how many of its values do. */
export function fullOf({ target, concurrency, rate, running, begun, queued, full }: Limit): number {
  if (target.key !== undefined) return full
  const held = concurrency !== null && running >= concurrency
  const spent = rate !== null && begun !== null && begun >= rate.limit
  return queued > 0 && (held || spent) ? 1 : 0
}

/** As it is written in a field: `1s`, `90s`, `1500ms`. */
export function periodText(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1_000, 's'],
  ] as const
  const [size, unit] = units.find(([size]) => ms % size === 0) ?? ([1, 'ms'] as const)
  return `${ms / size}${unit}`
}

/** No more than `most` were counted. */
export const counted = (n: number, most = 1_000): string => (n > most ? `${count(most)}+` : count(n))
