/**
 * Hints by NOTIFY. A commit that notifies waits for all others that do, so hints of starts and messages, which come from
 * many processes, go after the commit that they speak of. Closing is the exception (`appends.ts`): its commits are
 * batches, one at a time a worker.
 */
import type { Hint } from '../../core/hint.js'
import type { Db, Lane } from './db.js'

const letters = {
  ready: 'r',
  later: 'l',
  message: 'm',
  closed: 'c',
  workers: 'w',
  answered: 'u',
  query: 'q',
  queryAnswered: 'a',
} as const
/** NOTIFY refuses payloads of 8,000 bytes. */
const maxBytes = 7_900

function encodeHints(hints: readonly Hint[]): string[] {
  const payloads: string[] = []
  for (const letter of Object.values(letters)) {
    const words = new Set(hints.flatMap((hint) => (letters[hint.kind] === letter ? wordsOf(hint) : [])))
    let payload = ''
    for (const word of words) {
      if (payload !== '' && Buffer.byteLength(payload) + Buffer.byteLength(word) + 1 > maxBytes) {
        payloads.push(payload)
        payload = ''
      }
      payload = payload === '' ? letter + word : `${payload}\n${word}`
    }
    if (payload !== '') payloads.push(payload)
  }
  return payloads
}

function wordsOf(hint: Hint): readonly string[] {
  if (hint.kind === 'later') return [String(Math.ceil(hint.inMs))]
  return 'queues' in hint ? hint.queues : 'ids' in hint ? hint.ids : hint.runIds
}

function decodeHint(payload: string): Hint | null {
  const words = payload.slice(1).split('\n')
  if (payload.startsWith('r')) return { kind: 'ready', queues: words }
  if (payload.startsWith('m')) return { kind: 'message', runIds: words }
  if (payload.startsWith('l')) return { kind: 'later', inMs: Math.min(...words.map(Number)) }
  if (payload.startsWith('u')) return { kind: 'answered', runIds: words }
  if (payload.startsWith('q')) return { kind: 'query', ids: words }
  if (payload.startsWith('a')) return { kind: 'queryAnswered', ids: words }
  if (payload.startsWith('c')) return { kind: 'closed', runIds: words }
  if (payload.startsWith('d')) {
    const [runId, status] = words as [string, string]
    const result = payload.slice(3 + runId.length + status.length)
    return { kind: 'closed', runIds: [runId], result: { status, payload: result === '' ? null : result } }
  }
  if (payload.startsWith('w')) return { kind: 'workers', ids: words }
  return null
}

export async function publish(lane: Lane, hints: readonly Hint[]): Promise<void> {
  await Promise.all(
    encodeHints(hints).map((payload) =>
      lane.query({ name: 'stet_notify', text: `SELECT pg_notify('stet', $1)`, values: [payload] }),
    ),
  )
}

/** Listens for as long as it is not closed; a dead connection is replaced. */
export async function subscribe(
  db: Db,
  listener: { hint(hint: Hint): void; connected(): void },
): Promise<() => Promise<void>> {
  let closed = false
  let again: NodeJS.Timeout | undefined
  const lane = db.lane({
    onConnect: async (_, client) => {
      client.on('notification', ({ payload }) => {
        const hint = payload === undefined ? null : decodeHint(payload)
        if (hint !== null) listener.hint(hint)
      })
      await client.query(`LISTEN "${db.schema}"`)
    },
    onLost: () => listen(),
  })
  const listen = () => {
    if (closed || db.closing) return
    lane.connect().then(
      () => listener.connected(),
      () => {
        clearTimeout(again)
        again = setTimeout(listen, 500)
        again.unref()
      },
    )
  }
  await lane.connect().then(
    () => listener.connected(),
    () => listen(),
  )
  return async () => {
    closed = true
    clearTimeout(again)
    await lane.close()
  }
}
