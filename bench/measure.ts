/** Small tools of the benchmark. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}

export const median = (values: readonly number[]) => percentile(values, 0.5)

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Median of three, each printed, so that a noisy machine shows. */
export async function three(measure: (round: number) => Promise<number>): Promise<{ value: number; all: number[] }> {
  const all: number[] = []
  for (let round = 0; round < 3; round++) all.push(await measure(round))
  return { value: median(all), all }
}

interface Row {
  readonly what: string
  readonly value: string
  readonly ratio: string
  readonly goal: string
  readonly met: boolean | null
}

const rows: Row[] = []

/** Notes one figure, with its ratio to a limit of the same run and what is wanted. */
export function report(
  what: string,
  value: string,
  ratio?: number,
  goal?: { atLeast: number } | { atMost: number },
): void {
  const met =
    goal === undefined || ratio === undefined ? null : 'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost
  const row: Row = {
    what,
    value,
    ratio: ratio === undefined ? '' : ratio.toFixed(ratio < 1 ? 3 : 2),
    goal: goal === undefined ? '' : 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`,
    met,
  }
  rows.push(row)
  console.log(line(row))
}

function line({ what, value, ratio, goal, met }: Row): string {
  return `${what.padEnd(46)} ${value.padStart(34)} ${ratio.padStart(9)} ${goal.padStart(9)} ${met === null ? '' : met ? 'met' : 'MISSED'}`
}

export function heading(): void {
  console.log(
    `${'measure'.padEnd(46)} ${'value (median; all rounds)'.padStart(34)} ${'ratio'.padStart(9)} ${'goal'.padStart(9)}`,
  )
}

export function summary(): void {
  const missed = rows.filter(({ met }) => met === false)
  console.log(missed.length === 0 ? '\nall goals met' : `\nmissed: ${missed.map(({ what }) => what).join('; ')}`)
}

export const list = (values: readonly number[], digits = 0) => values.map((value) => value.toFixed(digits)).join(' ')
