/** The thread of `lease.ts`. */
import { parentPort, workerData } from 'node:worker_threads'
import { Lane } from './db.js'
import type { FromThread, LeaseSettings } from './lease.js'
import { awaitWorkerEnd, beatQuery, isWorkerGone, lockWorker, readBeat, registerQuery } from './workers.js'

const settings = workerData as LeaseSettings
const { worker, leaseMs, beatMs } = settings
const mainTick = new Float64Array(settings.mainTick)
const port = parentPort!
const tell = (message: FromThread) => port.postMessage(message)

let stopped = false
let registered = false

// The session's lock is what others see of this process: it is there before the worker's row is.
const lane = new Lane(settings, { onConnect: (query) => query(lockWorker(worker.id)) })

let timer: NodeJS.Timeout | undefined
let beating = false
/** Asked for while a beat was under way, which may have looked before there was anything to see. */
let again = false

async function beat(): Promise<void> {
  if (stopped) return
  if (beating) {
    again = true
    return
  }
  beating = true
  again = false
  let next = beatMs
  try {
    const sentAt = Number(process.hrtime.bigint() / 1_000_000n)
    const hungMs = sentAt - mainTick[0]!
    if (hungMs > leaseMs / 2) {
      next = 200
    } else {
      if (!registered) {
        await lane.query(registerQuery(worker, leaseMs))
        registered = true
        tell({ kind: 'registered', sentAt })
      }
      const news = readBeat(await lane.query(beatQuery(worker.id, leaseMs, worker)))
      if (news === null) {
        tell({ kind: 'fenced' })
        stopped = true
      } else {
        tell({ kind: 'beat', beat: news, sentAt })
        watch(news.neighbour)
      }
    }
  } catch (error) {
    if (!stopped) tell({ kind: 'failed', message: (error as Error).message })
    next = 200
  }
  beating = false
  if (stopped) return
  clearTimeout(timer)
  timer = setTimeout(() => void beat(), again ? Math.min(next, 20) : next)
}

// ── watching one other worker ──────────────────────────────────────────────────────────────────────

/** Bounds how long one wait holds back the clean-up of dead rows in the database. */
const patienceMs = 5_000
/** A session that is only being replaced is back by then. */
const doubtMs = 250

let watched: { id: string; lane: Lane } | null = null

function watch(neighbour: string | null): void {
  if (watched?.id === neighbour || (watched === null && neighbour === null)) return
  void watched?.lane.close()
  watched = neighbour === null ? null : { id: neighbour, lane: new Lane(settings) }
  if (watched !== null) void keepWatching(watched)
}

async function keepWatching(subject: { id: string; lane: Lane }): Promise<void> {
  while (!stopped && watched === subject) {
    try {
      const { rows } = await subject.lane.query(awaitWorkerEnd(subject.id, patienceMs))
      if (!rows[0].ended) continue
      await pause(doubtMs)
      const check = await subject.lane.query(isWorkerGone(subject.id))
      if (check.rows[0].gone && !stopped && watched === subject) {
        tell({ kind: 'dead', workerId: subject.id })
        watched = null
        void subject.lane.close()
        await pause(50)
        void beat()
        return
      }
      await pause(doubtMs)
    } catch {
      if (stopped || watched !== subject) return
      await pause(500)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

port.on('message', async (message: 'poke' | 'stop') => {
  if (message === 'poke') {
    void beat()
    return
  }
  stopped = true
  clearTimeout(timer)
  await Promise.all([lane.close(), watched?.lane.close()])
  process.exit(0)
})

void beat()
