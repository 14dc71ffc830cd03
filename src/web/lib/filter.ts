/**
 * Which runs: as a text that people write, as parts that can be taken out one by one, and as what the API is asked for.
 *
 * F1. A text and its parts say the same: `partsOf(textOf(parts))` gives the parts.
 * F2. `matches` says of a row what the server would say of it.
 */
import { statuses } from './counts.ts'
import type { RunItem, RunStatus } from './types.ts'

export interface Part {
  /** `status`, `workflow`, …; of a search attribute `attr.` and its name; `id` for words without a key. */
  readonly key: string
  readonly value: string
  /** The value stood in quotes: an attribute's is a text, whatever it looks like. */
  readonly quoted?: boolean
}

/** As `GET /api/runs` takes it. */
export interface Filter {
  readonly status?: readonly RunStatus[]
  readonly workflow?: string
  readonly version?: number
  readonly queue?: string
  readonly error?: string
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly startedAfter?: string
  readonly startedBefore?: string
  readonly closedAfter?: string
  readonly closedBefore?: string
  readonly idPrefix?: string
  readonly parent?: string
}

export class FilterError extends Error {
  override readonly name = 'FilterError'
}

/** What can be searched for, with what it means. */
export const filterKeys = [
  { key: 'status', means: 'one of the statuses, or several with commas; open: all that are not closed' },
  { key: 'workflow', means: 'name of the workflow' },
  { key: 'version', means: 'version of the workflow' },
  { key: 'queue', means: 'name of the queue' },
  { key: 'error', means: 'text in the error' },
  { key: 'attr.', means: 'a search attribute, as attr.tenant:acme' },
  { key: 'after', means: 'started after: a date, today, or how long ago (2h)' },
  { key: 'before', means: 'started before: the same' },
  { key: 'closedafter', means: 'closed after: the same' },
  { key: 'closedbefore', means: 'closed before: the same' },
  { key: 'prefix', means: 'with which the id begins' },
  { key: 'parent', means: 'children of this run, by its run id' },
  { key: 'id', means: 'id or run id, all of it' },
] as const

/** @throws FilterError for a quote that is not closed */
export function partsOf(text: string): Part[] {
  const parts: Part[] = []
  let at = 0
  const quotedText = (): string => {
    let value = ''
    for (at++; at < text.length && text[at] !== '"'; at++) {
      if (text[at] === '\\' && at + 1 < text.length) at++
      value += text[at]
    }
    if (at >= text.length) throw new FilterError('A quote is not closed.')
    at++
    return value
  }
  const upTo = (ends: RegExp): { value: string; quoted: boolean } => {
    let value = ''
    let quoted = false
    while (at < text.length && !ends.test(text[at]!)) {
      if (text[at] === '"') {
        value += quotedText()
        quoted = true
      } else value += text[at++]
    }
    return { value, quoted }
  }
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++
    if (at >= text.length) return parts
    const begun = at
    const key = upTo(/[\s:]/)
    const known = key.value.startsWith('attr.') || filterKeys.some((each) => each.key === key.value)
    if (text[at] === ':' && known) {
      at++
      const { value, quoted } = upTo(/\s/)
      parts.push({ key: key.value, value, ...(quoted ? { quoted } : {}) })
      continue
    }
    // A word by itself is an id; ids may have colons.
    at = begun
    const { value, quoted } = upTo(/\s/)
    parts.push({ key: 'id', value, ...(quoted ? { quoted } : {}) })
  }
}

/** The keys, for people. */
export const keyList = filterKeys.map(({ key }) => (key === 'attr.' ? 'attr.<name>' : key)).join(', ')

const inQuotes = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`

export function textOf(parts: readonly Part[]): string {
  return parts
    .map(({ key, value, quoted = false }) => {
      const plain = !quoted && value !== '' && !/[\s"]/.test(value)
      const name = key.startsWith('attr.') && /[\s:"]/.test(key) ? `attr.${inQuotes(key.slice(5))}` : key
      return `${name}:${plain ? value : inQuotes(value)}`
    })
    .join(' ')
}

/** The list of runs that these parts name. */
export const runsHref = (parts: Readonly<Record<string, string | number>>): string =>
  `/runs?${new URLSearchParams({
    q: textOf(Object.entries(parts).map(([key, value]) => ({ key, value: String(value) }))),
  })}`

/** The parts with another one; one that can be there only once takes the place of the other. */
export function withPart(parts: readonly Part[], part: Part): Part[] {
  if (part.key === 'status') {
    const others = parts.filter(({ key }) => key !== 'status')
    return part.value === '' ? others : [part, ...others]
  }
  return [...parts.filter(({ key }) => key !== part.key), part]
}

/**
 * What the API is asked for. `now`: what `today` and `2h` count from, ms.
 * @throws FilterError naming the part that cannot be used
 */
export function filterOf(parts: readonly Part[], now = Date.now()): Filter {
  const filter: { -readonly [K in keyof Filter]: Filter[K] } = {}
  const attributes: [string, unknown][] = []
  const once = new Set<string>()
  for (const { key, value, quoted = false } of parts) {
    if (key === 'status') {
      filter.status = [...new Set([...(filter.status ?? []), ...statusesOf(value)])]
      continue
    }
    if (once.has(key)) throw new FilterError(`${key} is there twice: a run has one.`)
    once.add(key)
    if (value === '') throw new FilterError(`${key}: there is nothing behind it.`)
    if (key === 'id')
      throw new FilterError(
        `"${value}" is taken for an id, which is looked up by itself. What can be searched for: ${keyList}.`,
      )
    if (key === 'workflow' || key === 'queue' || key === 'error') filter[key] = value
    else if (key === 'version') {
      if (!/^\d{1,9}$/.test(value)) throw new FilterError(`version: expected a whole number, got "${value}".`)
      filter.version = Number(value)
    } else if (key === 'after') filter.startedAfter = timeOf(key, value, now)
    else if (key === 'before') filter.startedBefore = timeOf(key, value, now)
    else if (key === 'closedafter') filter.closedAfter = timeOf(key, value, now)
    else if (key === 'closedbefore') filter.closedBefore = timeOf(key, value, now)
    else if (key === 'prefix') filter.idPrefix = value
    else if (key === 'parent') filter.parent = value
    else attributes.push([key.slice('attr.'.length), quoted ? value : typed(value)])
  }
  if (attributes.length > 0) filter.attributes = Object.fromEntries(attributes)
  return filter
}

/** The id that a search asks for and nothing else; null: it is another search. */
export function idIn(parts: readonly Part[]): string | null {
  const [first] = parts
  return parts.length === 1 && first?.key === 'id' && first.value !== '' ? first.value : null
}

/** For the query of `GET /api/runs`. */
export function queryOf({ attributes, ...rest }: Filter): Record<string, string | number | readonly string[]> {
  return { ...rest, ...(attributes === undefined ? {} : { attributes: JSON.stringify(attributes) }) }
}

export function matches(filter: Filter, run: RunItem): boolean {
  const { status, workflow, version, queue, error, attributes, startedAfter, startedBefore } = filter
  const { closedAfter, closedBefore, idPrefix, parent } = filter
  const { closedAt } = run
  return (
    (status === undefined || status.includes(run.status)) &&
    (workflow === undefined || run.workflow === workflow) &&
    (version === undefined || run.version === version) &&
    (queue === undefined || run.queue === queue) &&
    (error === undefined || run.error?.message.toLowerCase().includes(error.toLowerCase()) === true) &&
    (attributes === undefined || contains(run.attributes, attributes)) &&
    (startedAfter === undefined || run.createdAt >= startedAfter) &&
    (startedBefore === undefined || run.createdAt < startedBefore) &&
    (closedAfter === undefined || (closedAt !== undefined && closedAt >= closedAfter)) &&
    (closedBefore === undefined || (closedAt !== undefined && closedAt < closedBefore)) &&
    (idPrefix === undefined || run.id.startsWith(idPrefix)) &&
    (parent === undefined || run.parent?.runId === parent)
  )
}

function statusesOf(value: string): RunStatus[] {
  return value.split(',').flatMap((each) => {
    if (each === 'open') return statuses.slice(0, 5)
    if (each === 'closed') return statuses.slice(5)
    if ((statuses as readonly string[]).includes(each)) return [each as RunStatus]
    throw new FilterError(`status: expected one of ${statuses.join(', ')}, open or closed, got "${each}".`)
  })
}

const units: Readonly<Record<string, number>> = { s: 1e3, min: 6e4, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }

function timeOf(key: string, value: string, now: number): string {
  const [, n, unit] = /^(\d+(?:\.\d+)?)(s|min|m|h|d|w)$/.exec(value) ?? []
  if (n !== undefined) return new Date(now - Number(n) * units[unit!]!).toISOString()
  if (value === 'today' || value === 'yesterday') {
    const day = new Date(now)
    day.setHours(0, 0, 0, 0)
    if (value === 'yesterday') day.setDate(day.getDate() - 1)
    return day.toISOString()
  }
  // A date alone is this place's day, not Greenwich's.
  const date = /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(`${value}T00:00`) : new Date(value)
  if (/^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(date.getTime())) return date.toISOString()
  throw new FilterError(
    `${key}: expected a date (2026-01-31, 2026-01-31T12:00), today, or how long ago (2h), got "${value}".`,
  )
}

/** What an attribute's value means that stands without quotes. */
function typed(text: string): unknown {
  if (/^(true|false|null|-?\d+(\.\d+)?)$/.test(text)) return JSON.parse(text)
  return text
}

/** As jsonb's `@>` has it, for what attributes can be. */
function contains(all: Readonly<Record<string, unknown>>, wanted: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(wanted).every(([key, value]) => {
    const own = Object.hasOwn(all, key) ? all[key] : undefined
    return own === value
  })
}
