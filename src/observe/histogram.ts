/**
 * Histograms of times with buckets that grow: 24 to each power of ten, so that a percentile is no farther than 5 % from
 * the truth, whether it is a millisecond or a year. The SQL of `stet_store.percentile` knows the same buckets.
 *
 * Bucket 0 is what is below 1 ms; bucket i is from 10^((i-1)/24) to 10^(i/24) ms, the upper end not in it.
 */
import type { Buckets } from '../store/statistics.js'

const perDecade = 24

/** What is longer than ten years counts as ten years. */
const last = 278

/** The number of the bucket of a time in ms. What is below zero, as two clocks may make it, is zero. */
export function bucketOf(ms: number): number {
  return ms < 1 ? 0 : Math.min(last, 1 + Math.floor(Math.log10(ms) * perDecade))
}

/** Where a bucket ends, ms. */
export function endOf(bucket: number): number {
  return 10 ** (bucket / perDecade)
}

/** The time, ms, that stands for those in a bucket: as far, in proportion, from its one end as from the other. */
export function midOf(bucket: number): number {
  return bucket === 0 ? 0 : (2 * endOf(bucket - 1)) / (1 + 10 ** (-1 / perDecade))
}

/**
 * The time, ms, that a part `p` of all do not exceed (nearest rank); null when there are none.
 * @example percentile(buckets, 0.95)
 */
export function percentile({ first, counts }: Buckets, p: number): number | null {
  const total = counts.reduce((sum, n) => sum + n, 0)
  const rank = Math.max(1, Math.ceil(p * total))
  let upTo = 0
  for (const [i, n] of counts.entries()) {
    upTo += n
    if (n > 0 && upTo >= rank) return midOf(first + i)
  }
  return null
}

/** Counts times: what came since it was last emptied, and all that ever came. */
export class Histogram {
  #fresh: number[] = []
  readonly #before: number[] = []
  #sum = 0

  record(ms: number): void {
    const bucket = bucketOf(ms)
    // Grows to the largest that was ever met, and then no more.
    while (this.#fresh.length <= bucket) this.#fresh.push(0)
    this.#fresh[bucket]!++
    if (ms > 0) this.#sum += ms
  }

  /** Of all that ever came, ms. */
  get sum(): number {
    return this.#sum
  }

  /** How many ever came into each bucket, from 0. */
  all(): number[] {
    const length = Math.max(this.#fresh.length, this.#before.length)
    return Array.from({ length }, (_, i) => (this.#fresh[i] ?? 0) + (this.#before[i] ?? 0))
  }

  /** What came since the last call. */
  take(): Buckets {
    const fresh = this.#fresh
    const first = fresh.findIndex((n) => n > 0)
    if (first === -1) return { first: 0, counts: [] }
    const counts = fresh.slice(first, fresh.findLastIndex((n) => n > 0) + 1)
    for (const [i, n] of fresh.entries()) {
      this.#before[i] = (this.#before[i] ?? 0) + n
      fresh[i] = 0
    }
    return { first, counts }
  }
}
