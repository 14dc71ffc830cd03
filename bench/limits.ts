/** What the server can do with nothing in the way, measured with `pg` alone on one connection. */
import pg from 'pg'
import { percentile } from './measure.js'

export interface Limits {
  /** p50 of inserting and committing one history-like row, ms. */
  readonly commitMs: number
  /** Rows a second of 100-row `unnest` inserts. */
  readonly rowsPerSecond: number
}

const payload = 'y'.repeat(200)
const facts = '{"causes":"1"}'

export async function measureLimits(url: string): Promise<Limits> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`CREATE TABLE IF NOT EXISTS limits (run_id text, seq int, type text, op int, name text, payload text, facts text,
                        at timestamptz, batch text, PRIMARY KEY (run_id, seq)); TRUNCATE limits`)
  const times: number[] = []
  for (let i = 0; i < 2_000; i++) {
    const began = performance.now()
    await client.query({
      name: 'one',
      text: 'INSERT INTO limits VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $8)',
      values: [`run-${i}`, 1, 'StepCompleted', 1, 'charge', payload, facts, 'batch'],
    })
    times.push(performance.now() - began)
  }
  let rows = 0
  const began = performance.now()
  const hundred = Array.from({ length: 100 }, (_, i) => i)
  while (performance.now() - began < 2_500) {
    await client.query({
      name: 'hundred',
      text: `INSERT INTO limits SELECT u.*, now(), $8 FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[]) u`,
      values: [
        hundred.map((i) => `many-${rows}-${i}`),
        hundred.map(() => 2),
        hundred.map(() => 'StepCompleted'),
        hundred,
        hundred.map(() => 'charge'),
        hundred.map(() => payload),
        hundred.map(() => facts),
        'batch',
      ],
    })
    rows += 100
  }
  const rowsPerSecond = (rows / (performance.now() - began)) * 1_000
  await client.query('DROP TABLE limits')
  await client.end()
  return { commitMs: percentile(times, 0.5), rowsPerSecond }
}
