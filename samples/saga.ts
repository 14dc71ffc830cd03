// A trip of flight, hotel and car: when one of them cannot be had, nobody confirms in time, or the run is cancelled,
// what was booked is undone in reverse order.
// Terminal 1: npx stet worker samples/saga.ts
// Terminal 2: npx stet start trip --id rome-1 --input '{"traveller":"ada","to":"Rome"}'
//             npx stet signal rome-1 confirm '{"by":"ada"}'        (or npx stet cancel rome-1);  npx stet show rome-1
//             npx stet start trip --input '{"traveller":"bob","to":"Oslo","soldOut":"car"}' --wait
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NonRetryableError, signal, workflow } from 'stet'

export interface Trip {
  traveller: string
  to: string
  /** Makes the booking of this one fail. */
  soldOut?: Part
  /** Where the booking offices keep their books; by default in the temporary folder. */
  folder?: string
}
export type Part = 'flight' | 'hotel' | 'car'

export const confirm = signal<{ by: string }>('confirm')

export const trip = workflow('trip', async (ctx, input: Trip) => {
  const folder = join(input.folder ?? join(tmpdir(), 'stet-trips'), ctx.run.runId)

  const book = (part: Part) => {
    // Before the booking, not after it: one that was made and whose answer got lost is undone as well. So the undoing
    // must put up with a booking that never came to be.
    ctx.compensate(`cancel ${part}`, { retry: { maxAttempts: 20, maxInterval: '1h' } }, () => release(folder, part))
    return ctx.step(`book ${part}`, () => reserve(folder, part, input))
  }

  const flight = await book('flight')
  const hotel = await book('hotel')
  const car = await book('car')

  // The offices hold the bookings for a day. If the day is over this throws, and a run that throws is undone.
  const { by } = await ctx.waitForSignal(confirm, { timeout: '1d' })
  await ctx.step('issue tickets', () => replace(join(folder, 'tickets.json'), { by, flight, hotel, car }))
  return { flight, hotel, car }
})

// ── booking offices ──────────────────────────────────────────────────────────────────────────────

/** Makes a booking, once, however often it is asked for. */
async function reserve(folder: string, part: Part, { traveller, to, soldOut }: Trip): Promise<string> {
  if (part === soldOut) throw new NonRetryableError(`no ${part} to ${to} is left`)
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${part}.json`)
  const reference = `${part}-${Math.random().toString(36).slice(2, 8)}`
  try {
    await writeFile(file, JSON.stringify({ status: 'booked', reference, traveller, to }), { flag: 'wx' })
    console.log(`${part} to ${to} for ${traveller}: booked, ${reference}`)
    return reference
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const earlier = JSON.parse(await readFile(file, 'utf8'))
  // A request that was under way when the trip was given up, and comes late.
  if (earlier.status === 'cancelled') throw new NonRetryableError(`the ${part} was cancelled already`)
  return earlier.reference
}

/** Cancels a booking; where there is none, it keeps a late one from being made. */
async function release(folder: string, part: Part): Promise<void> {
  await mkdir(folder, { recursive: true })
  await replace(join(folder, `${part}.json`), { status: 'cancelled' })
  console.log(`${part}: cancelled`)
}

/** Writes a file whole: nobody ever reads a half of it. */
async function replace(file: string, content: unknown): Promise<void> {
  await writeFile(`${file}.next`, JSON.stringify(content))
  await rename(`${file}.next`, file)
}
