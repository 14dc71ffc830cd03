// A lock that runs hold one after another: here deployments to the same place, of which no two may overlap.
// Terminal 1: npx stet worker samples/mutex.ts
// Terminal 2: for v in v1 v2 v3; do
//               npx stet start deploy --id deploy-$v --input "{\"version\":\"$v\",\"to\":\"production\"}"; done
//             npx stet query "lock production" lock-state;  npx stet list
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ctx, type Duration, NonRetryableError, query, type Signal, StepFailure, signal, workflow } from 'stet'

// ── the lock ─────────────────────────────────────────────────────────────────────────────────────

/** Who wants the lock: which run, and which of its requests. */
export interface Request {
  runId: string
  ticket: string
  leaseMs: number
}
export interface Grant {
  /** Larger than that of any grant before. */
  fence: number
  /** The end of the lease, ms since the epoch. */
  until: number
}
/** What a lock is. A run hands it to the one that follows it; `{}` is a new lock. */
export interface Lock {
  queue?: Request[]
  fence?: number
}

export const acquire = signal<Request>('acquire')
export const release = signal<{ ticket: string }>('release')
export const lockState = query<{ holder: string | null; queue: string[]; fence: number }>('lock-state')
const granted = (ticket: string) => signal<Grant>(`granted ${ticket}`)

/**
 * One run for each lock, under the id of `lockId`. It never ends; while nobody wants it it costs a row. To terminate it
 * is to throw its queue away: those who were in it wait until they are cancelled.
 */
export const lock = workflow('lock', async (ctx: Ctx<Lock>, input: Lock) => {
  const queue = [...(input.queue ?? [])]
  let { fence = 0 } = input
  let holder: Request | null = null
  const isFree = () => holder === null

  // Signals come in the order in which they were sent: so do the grants.
  ctx.onSignal(acquire, (request) => {
    // Anything may come; what is no request must not end the lock.
    if (typeof request?.runId === 'string' && request.leaseMs > 0) queue.push(request)
  })
  ctx.onSignal(release, (message) => {
    if (holder?.ticket === message?.ticket) holder = null
    // Or it does not want to wait any longer.
    const i = queue.findIndex(({ ticket }) => ticket === message?.ticket)
    if (i !== -1) queue.splice(i, 1)
  })
  ctx.onQuery(lockState, () => ({ holder: holder?.runId ?? null, queue: queue.map(({ runId }) => runId), fence }))

  for (let grants = 0; grants < 1_000; grants++) {
    await ctx.condition(() => queue.length > 0)
    const next = queue.shift()!
    holder = next
    // The time, where it has moved on: so it grows from a lock that somebody ended to the next of that name as well.
    fence = Math.max(fence + 1, ctx.now())
    try {
      await ctx.handle(next.runId).signal(granted(next.ticket), { fence, until: ctx.now() + next.leaseMs })
    } catch (error) {
      if (!(error instanceof StepFailure)) throw error
      // It has ended meanwhile.
      holder = null
      continue
    }
    // Who does not give it back in time, for whatever reason, is passed over.
    await ctx.condition(isFree, { timeout: next.leaseMs })
    holder = null
  }
  return ctx.continueAsNew({ queue, fence })
})

export const lockId = (name: string) => `lock ${name}`

/**
 * Runs `fn` while this run holds the lock of that name, and gives it back whatever comes of it.
 *
 * A lease is a matter of time, and time passes for whoever hangs as well: at its end `fn` is cancelled, but a step that
 * takes no notice may go on while the next run has the lock. Where that must do no harm pass `fence` on to what is
 * changed, and have it refuse a smaller one than it has seen.
 *
 * The lease begins with the grant; by default it is ten minutes.
 * @throws TimeoutFailure when the lease ends first
 */
export async function withLock<T>(
  ctx: Ctx,
  name: string,
  fn: (ctx: Ctx, fence: number) => Promise<T>,
  { leaseMs = 600_000 }: { leaseMs?: number } = {},
): Promise<T> {
  const ticket = ctx.uuid()
  try {
    await tell(ctx, name, acquire, { runId: ctx.run.runId, ticket, leaseMs })
    const { fence, until } = await ctx.waitForSignal(granted(ticket))
    return await ctx.scope({ timeout: Math.max(0, until - ctx.now()) }, (ctx) => fn(ctx, fence))
  } finally {
    // A run that is being cancelled gives it back as well; to give back what one does not have does no harm.
    await ctx.shield((ctx) => tell(ctx, name, release, { ticket }))
  }
}

/** The first message to a lock starts it. */
function tell<T>(ctx: Ctx, name: string, what: Signal<T>, message: T): Promise<void> {
  return ctx.signalWithStart(lock, {}, what, message, { id: lockId(name), ifClosed: 'new' })
}

// ── what is done under it ────────────────────────────────────────────────────────────────────────

export interface Deploy {
  version: string
  to: string
  /** How long a new version is watched; default 10 s. */
  watch?: Duration
  /** By default in the temporary folder. */
  folder?: string
}

export const deploy = workflow('deploy', async (ctx, { version, to, watch = '10s', folder }: Deploy) => {
  const place = join(folder ?? join(tmpdir(), 'stet-deploy'), to)
  return withLock(ctx, to, async (ctx, fence) => {
    const before = await ctx.step('switch', () => switchTo(place, version, fence))
    await ctx.sleep(watch)
    // It would say no if another deployment had come in between.
    await ctx.step('check', () => check(place, version))
    return { version, before, fence }
  })
})

interface Deployed {
  version: string
  before: string | null
  fence: number
}

/** Makes a version the current one; what was current before it. */
async function switchTo(place: string, version: string, fence: number): Promise<string | null> {
  const current = await read(place)
  if (current !== null && current.fence > fence) throw new NonRetryableError(`${current.version} came later`)
  // A step may run twice: the second time it finds its own work.
  if (current?.fence === fence) return current.before
  const deployed: Deployed = { version, before: current?.version ?? null, fence }
  await mkdir(place, { recursive: true })
  await writeFile(join(place, `${fence}.next`), JSON.stringify(deployed))
  await rename(join(place, `${fence}.next`), join(place, 'current.json'))
  console.log(`${place}: ${version} (after ${deployed.before ?? 'nothing'})`)
  return deployed.before
}

async function check(place: string, version: string): Promise<void> {
  const current = await read(place)
  if (current?.version !== version) throw new NonRetryableError(`expected ${version}, ${current?.version} is there`)
}

async function read(place: string): Promise<Deployed | null> {
  try {
    return JSON.parse(await readFile(join(place, 'current.json'), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return null
  }
}
