/** A look at schedules, with what is to be done once it is committed. */
import { encode } from '../core/codec.js'
import type { Hint } from '../core/hint.js'
import { closedHints } from './asks.js'
import type { Store } from './port.js'
import type { Look } from './schedules.js'

type Publish = (hints: readonly Hint[]) => void

/** Of all schedules that are due, or of these. */
export async function lookAtSchedules(store: Store, publish: Publish, ids: readonly string[] | null): Promise<Look> {
  const look = await store.schedules.look(ids)
  if (look.queues.length > 0) publish([{ kind: 'ready', queues: look.queues }])
  for (const each of look.toEnd) await endRun(store, publish, each)
  return look
}

/** Whoever dies before has it done again by the next look: a run takes such a message once. */
async function endRun(store: Store, publish: Publish, { runId, how, schedule }: Look['toEnd'][number]): Promise<void> {
  const row = await store.find(runId)
  if (row === null || row.closedAt !== null) return
  const reason = `schedule "${schedule}" fired again`
  if (how === 'terminate' || row.claim === 0) {
    const closed = await store.closeUnowned(runId, how === 'terminate' ? how : 'cancelBeforeBegin', reason)
    if (closed !== null) {
      publish(closedHints(runId, closed.parent))
      return
    }
  }
  const [answer] = await store.post([
    { run: runId, kind: how, name: null, payload: encode(reason, 'the reason'), messageId: `schedule: ${how}` },
  ])
  // One that is a promise has its row locked by somebody: it is sent, and nobody waits for it here.
  if (answer instanceof Promise) answer.then(() => publish([{ kind: 'message', runIds: [runId] }])).catch(() => {})
  else publish([{ kind: 'message', runIds: [runId] }])
}
