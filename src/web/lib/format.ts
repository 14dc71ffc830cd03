/** Times and amounts as people read them. */

/** `340 ms`, `4.2 s`, `3 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–'
  if (ms < 1) return ms <= 0 ? '0 ms' : '<1 ms'
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  const parts = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  const first = parts.findIndex(([size]) => ms >= size)
  const [[size, unit], second] = [parts[first]!, parts[first + 1]]
  const rest = second === undefined ? 0 : Math.floor((ms % size) / second[0])
  return `${Math.floor(ms / size)} ${unit}${rest > 0 ? ` ${rest} ${second![1]}` : ''}`
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

/** Today its time alone, else with the date. */
export function time(at: string | number | Date): string {
  const date = new Date(at)
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : full.format(date)
}

/** With the date and milliseconds, for titles. */
export function exactTime(at: string | number | Date): string {
  return new Date(at).toISOString().replace('T', ' ').replace('Z', ' UTC')
}

/** `12 s ago`. */
export function ago(at: string | number | Date, now = Date.now()): string {
  const ms = now - new Date(at).getTime()
  return ms < 1_000 ? 'just now' : `${duration(ms)} ago`
}

/** `12,400`. */
export const count = (n: number): string => n.toLocaleString('en')

/** `12 %`, `0.4 %`. */
export const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`

export function bytes(n: number): string {
  return n < 1_024 ? `${n} B` : n < 1_048_576 ? `${(n / 1_024).toFixed(1)} KiB` : `${(n / 1_048_576).toFixed(1)} MiB`
}
