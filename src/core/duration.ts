import { InvalidInputError } from './errors.js'
import type { Duration } from './types.js'

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** The longest duration that is accepted: about 10,000 years, which every database and every `Date` can still hold. */
const maxMs = 86_400_000 * 3_652_500

/**
 * A duration in milliseconds. `what` names the option in the error message.
 * @throws InvalidInputError when it is not a finite number ≥ 0, or a number with one of the units ms, s, m, h, d, w
 * @example durationMs('1.5h', 'timeout') // 5400000
 */
export function durationMs(duration: Duration, what: string): number {
  const ms = typeof duration === 'string' ? parse(duration) : duration
  if (typeof ms === 'number' && ms >= 0 && ms <= maxMs) return ms
  throw new InvalidInputError(
    `${what}: expected a duration, got ${describe(duration)}. Use milliseconds (5000) or a number with a unit ('30s', '5m', '2h', '3d', '1w'), not negative and at most 10,000 years.`,
  )
}

function parse(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|[smhdw])$/.exec(text)
  return match ? Number(match[1]) * unitMs[match[2] as string]! : Number.NaN
}

function describe(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** A duration for people: `1.2 s`, `3 m 20 s`, `45 ms`. */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`
  const seconds = Math.round(ms / 1000)
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ]
  return parts
    .filter(([n]) => n > 0)
    .slice(0, 2)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ')
}
