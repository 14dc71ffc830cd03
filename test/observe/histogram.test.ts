/** The histograms against exact percentiles, in this process and in SQL. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketOf, endOf, Histogram, midOf, percentile } from '../../src/observe/histogram.js'
import { testDatabase } from '../support/server.js'

/** Times of every size, from a millisecond to years; with fractions. */
const times = fc.array(
  fc.tuple(fc.double({ min: 0, max: 11, noNaN: true }), fc.boolean()).map(([exponent, whole]) => {
    const ms = 10 ** exponent
    return whole ? Math.round(ms) : ms
  }),
  { minLength: 1, maxLength: 300 },
)
const ranks = fc.constantFrom(0, 0.01, 0.5, 0.9, 0.95, 0.99, 1)

/** Nearest rank. */
function exact(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(p * sorted.length)) - 1]!
}

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

test('a percentile is no farther than 5 % from the exact one', () => {
  fc.assert(
    fc.property(times, ranks, (values, p) => {
      const truth = exact(values, p)
      expect(Math.abs(percentile(histogramOf(values).take(), p)! - truth)).toBeLessThanOrEqual(truth * 0.05)
    }),
    { numRuns: 500 },
  )
})

test('below a millisecond, and before zero, is nothing; beyond ten years is ten years; each bucket has its middle', () => {
  expect([bucketOf(0), bucketOf(0.999), bucketOf(-5), midOf(0)]).toEqual([0, 0, 0, 0])
  expect(bucketOf(1e30)).toBe(bucketOf(30 * 365 * 86_400_000))
  for (let bucket = 1; bucket <= 278; bucket++) {
    expect(bucketOf(midOf(bucket))).toBe(bucket)
    expect(midOf(bucket)).toBeGreaterThan(endOf(bucket - 1))
    expect(midOf(bucket)).toBeLessThan(endOf(bucket))
  }
  expect(percentile(new Histogram().take(), 0.5)).toBeNull()
})

test('what is taken in parts is all there is, and nothing is taken twice', () => {
  fc.assert(
    fc.property(fc.array(times, { maxLength: 4 }), (parts) => {
      const histogram = new Histogram()
      const counts: number[] = []
      for (const part of parts) {
        for (const value of part) histogram.record(value)
        const taken = histogram.take()
        expect(taken.counts.reduce((sum, n) => sum + n, 0)).toBe(part.length)
        expect([taken.counts[0] ?? 1, taken.counts.at(-1) ?? 1].every((n) => n > 0)).toBe(true)
        for (const [i, n] of taken.counts.entries()) counts[taken.first + i] = (counts[taken.first + i] ?? 0) + n
      }
      expect(histogram.take()).toEqual({ first: 0, counts: [] })
      expect(histogram.all()).toEqual(Array.from(counts, (n) => n ?? 0))
    }),
  )
})

test('SQL adds histograms and reads their percentiles as this process does', async () => {
  const db = await testDatabase()
  const text = ({ first, counts }: { first: number; counts: readonly number[] }) =>
    counts.length === 0 ? '{}' : `[${first}:${first + counts.length - 1}]={${counts.join(',')}}`
  await fc.assert(
    fc.asyncProperty(fc.array(times, { maxLength: 4 }), async (parts) => {
      const taken = parts.map((part) => histogramOf(part).take())
      const all = histogramOf(parts.flat()).take()
      const { rows } = await db.query(
        `SELECT array_lower(h, 1) AS first, h::int[] AS counts, stet_store.percentile(h, 0.5) AS p50, stet_store.percentile(h, 0.99) AS p99
           FROM (SELECT stet_store.sum_histograms(part::int[]) AS h FROM unnest($1::text[]) part) s`,
        [taken.map(text)],
      )
      const [{ first, counts, p50, p99 }] = rows
      expect({ first: first ?? 0, counts }).toEqual(all)
      for (const [p, found] of [
        [0.5, p50],
        [0.99, p99],
      ] as const) {
        const expected = percentile(all, p)
        if (expected === null) expect(found).toBeNull()
        else expect(found / (expected || 1)).toBeCloseTo(expected === 0 ? 0 : 1, 9)
      }
    }),
    { numRuns: 60 },
  )
})
