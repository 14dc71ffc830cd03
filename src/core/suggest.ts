import { InvalidInputError } from './errors.js'

/** The candidate that was probably meant by a mistyped name, if one is near enough. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  // A third of the letters may differ: less finds nothing, more finds nonsense.
  let least = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= least) continue
    const edits = distance(name.toLowerCase(), candidate.toLowerCase())
    if (edits < least) {
      best = candidate
      least = edits
    }
  }
  return best
}

/** ` Did you mean "x"?`, or nothing. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const meant = nearest(name, candidates)
  return meant === undefined ? '' : ` Did you mean "${meant}"?`
}

/**
 * Refuses fields that are not known: a mistyped option must not be silently without effect.
 * @throws InvalidInputError naming the field, and the one that was probably meant
 */
export function checkFields(value: object, known: readonly string[], what: string): void {
  for (const field of Object.keys(value)) {
    if (known.includes(field)) continue
    const help = didYouMean(field, known) || ` Known are ${known.join(', ')}.`
    throw new InvalidInputError(`${what}: there is no "${field}".${help}`)
  }
}

/** How many letters must be put in, left out, replaced or swapped with their neighbour to make one text of the other. */
function distance(a: string, b: string): number {
  let twoAbove: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? twoAbove[j - 2]! + 1 : replaced
      row.push(Math.min(replaced, swapped, above[j]! + 1, row[j - 1]! + 1))
    }
    twoAbove = above
    above = row
  }
  return above[b.length]!
}
