/**
 * Answers that are given to several: however many pages are open, the database is asked once in a few seconds.
 *
 * S1. An answer is shared by those who ask the same, for so long as is said; one that went wrong is not.
 * S2. Nothing that was read before something changed here is given after it.
 */
import type { House } from './route.js'

interface Kept {
  readonly until: number
  readonly answer: Promise<unknown>
}

const maxKept = 200
const answers = new WeakMap<House, Map<string, Kept>>()

export function shared<T>(house: House, key: string, forMs: number, ask: () => Promise<T>): Promise<T> {
  const kept = answers.get(house) ?? new Map<string, Kept>()
  answers.set(house, kept)
  const now = performance.now()
  for (const [old, { until }] of kept) if (until < now || kept.size > maxKept) kept.delete(old)
  const known = kept.get(key)
  if (known !== undefined) return known.answer as Promise<T>
  const answer = ask()
  const own = { until: now + forMs, answer }
  // S1; what came meanwhile in its place stays.
  answer.catch(() => kept.get(key) === own && kept.delete(key))
  kept.set(key, own)
  return answer
}

/** Something changed (S2). */
export function forgetShared(house: House): void {
  answers.delete(house)
}
