/**
 * A store whose payloads go through a codec of the user's (encryption, compression): what leaves the process is coded,
 * what comes back is plain again.
 *
 * P1. Coded: inputs, results, errors with their messages, messages, arguments and answers, checkpoints, reasons. Not
 *     coded, for the database works with them: names (of workflows, steps, signals, errors), ids, search attributes,
 *     times.
 * P2. A coded text begins with `~e`. Any other is taken as it is, so SQL may start runs, and a codec may be introduced
 *     while runs are open.
 */
import { codedTag } from '../core/codec.js'
import { SerializationError } from '../core/errors.js'
import type { EventFacts, RecordedEvent } from '../core/events.js'
import type { Hint } from '../core/hint.js'
import type { PayloadCodec } from '../core/types.js'
import type { BulkRow } from './bulks.js'
import type {
  ClaimedRun,
  ExistingRun,
  ForkRequest,
  InboxMessage,
  RowChange,
  RunRow,
  StartRequest,
  Store,
} from './port.js'

type Text = string | null

class Coder {
  readonly #codec: PayloadCodec

  constructor(codec: PayloadCodec) {
    this.#codec = codec
  }

  readonly encode = async <T extends Text>(text: T): Promise<T> => {
    if (text === null) return text
    const bytes = await this.#codec.encode(Buffer.from(text, 'utf8'))
    return `${codedTag}${Buffer.from(bytes).toString('base64')}` as T
  }

  readonly decode = async <T extends Text>(text: T): Promise<T> => {
    if (text === null || !text.startsWith(codedTag)) return text
    try {
      const bytes = await this.#codec.decode(Buffer.from(text.slice(codedTag.length), 'base64'))
      return Buffer.from(bytes).toString('utf8') as T
    } catch (error) {
      throw new SerializationError(
        `a payload could not be decoded by the codec of this process: ${(error as Error).message}. Has it the key that the payload was written with?`,
        '$',
      )
    }
  }

  readonly encodePayload = async <T extends { readonly payload: Text }>(what: T): Promise<T> =>
    what.payload === null ? what : { ...what, payload: await this.encode(what.payload) }

  readonly decodePayload = async <T extends { readonly payload: Text }>(what: T): Promise<T> =>
    what.payload?.startsWith(codedTag) ? { ...what, payload: await this.decode(what.payload) } : what

  readonly decodeEvent = async (event: RecordedEvent): Promise<RecordedEvent> => {
    const plain = await this.decodePayload(event)
    const reason = plain.facts?.reason
    if (!reason?.startsWith(codedTag)) return plain
    return { ...plain, facts: { ...plain.facts, reason: await this.decode(reason) } }
  }

  readonly decodeClaimed = async (run: ClaimedRun): Promise<ClaimedRun> =>
    run.started === null ? run : { ...run, started: await this.decodeEvent(run.started) }

  /** Facts as they are sent; only a reason is anybody's own words. */
  readonly encodeFacts = async (facts: Text): Promise<Text> => {
    if (!facts?.includes('"reason"')) return facts
    const parsed = JSON.parse(facts) as EventFacts
    if (parsed.reason === undefined) return facts
    return JSON.stringify({ ...parsed, reason: await this.encode(parsed.reason) })
  }

  readonly decodeRow = async (row: RunRow): Promise<RunRow> =>
    row.error === null ? row : { ...row, error: { ...row.error, message: await this.decode(row.error.message) } }
}

function each<A, B>(items: Iterable<A>, change: (item: A) => Promise<B>): Promise<B[]> {
  return Promise.all([...items].map(change))
}

const plainExisting = (coder: Coder) => (existing: ExistingRun | null) =>
  existing === null ? Promise.resolve(null) : coder.decodePayload(existing)

/** Starts inside a caller's transaction, with inputs coded. */
export function codedStart<Tx>(
  start: (tx: Tx, requests: readonly StartRequest[]) => Promise<(ExistingRun | null)[]>,
  codec: PayloadCodec,
): typeof start {
  const coder = new Coder(codec)
  return async (tx, requests) => each(await start(tx, await each(requests, coder.encodePayload)), plainExisting(coder))
}

/** Messages inside a caller's transaction, with their payloads coded. */
export function codedPost<Tx, M extends { readonly payload: Text }, A>(
  post: (tx: Tx, message: M) => Promise<A>,
  codec: PayloadCodec,
): typeof post {
  const coder = new Coder(codec)
  return async (tx, message) => post(tx, await coder.encodePayload(message))
}

/** The same store, with its payloads coded (P1). */
export function codedStore<S extends Store>(store: S, codec: PayloadCodec): S {
  const coder = new Coder(codec)
  const { encode, decode, encodePayload, decodePayload } = coder
  const decodeEvents = (events: readonly RecordedEvent[]) => each(events, coder.decodeEvent)
  const decodeMessages = (messages: readonly InboxMessage[]) => each(messages, decodePayload)
  const encodeEvent = async (event: RecordedEvent): Promise<RecordedEvent> => {
    const coded = await encodePayload(event)
    const reason = coded.facts?.reason
    return reason === undefined ? coded : { ...coded, facts: { ...coded.facts, reason: await encode(reason) } }
  }
  const encodeChange = async (change: RowChange): Promise<RowChange> => ({
    ...change,
    error: change.error === null ? null : { ...change.error, message: await encode(change.error.message) },
    terminal:
      change.terminal === null
        ? null
        : { ...(await encodePayload(change.terminal)), facts: await coder.encodeFacts(change.terminal.facts) },
    successor:
      change.successor === null
        ? null
        : { ...change.successor, unread: await each(change.successor.unread, encodePayload) },
  })
  const encodeFork = async (request: ForkRequest): Promise<ForkRequest> => ({
    ...request,
    events: await each(request.events, encodeEvent),
    signals: await each(request.signals, encodePayload),
  })
  const decodeBulk = async (bulk: BulkRow): Promise<BulkRow> => ({
    ...bulk,
    options: await decode(bulk.options),
    words: { ...bulk.words, facts: await decode(bulk.words.facts), payload: await decode(bulk.words.payload) },
  })
  const coded: Partial<Store> = {
    schedules: {
      ...store.schedules,
      create: async (id, facts, source, paused) => {
        const existing = await store.schedules.create(id, await encodePayload(facts), source, paused)
        return existing === null ? null : decodePayload(existing)
      },
      change: async (id, facts, how) => store.schedules.change(id, await encodePayload(facts), how),
      find: async (id) => {
        const found = await store.schedules.find(id)
        return found === null ? null : decodePayload(found)
      },
      list: async (limit, after) => each(await store.schedules.list(limit, after), decodePayload),
    },
    start: async (requests) => each(await store.start(await each(requests, encodePayload)), plainExisting(coder)),
    post: async (messages) => store.post(await each(messages, encodePayload)),
    fork: async (request) => plainExisting(coder)(await store.fork(await encodeFork(request))),
    beginBulk: async (request) => {
      const { options, words } = request
      const facts = await encode(words.facts)
      const payload = await encode(words.payload)
      return decodeBulk(
        await store.beginBulk({ ...request, options: await encode(options), words: { ...words, facts, payload } }),
      )
    },
    bulk: async (id) => {
      const found = await store.bulk(id)
      return found === null ? null : decodeBulk(found)
    },
    listBulks: async (page) => {
      const { bulks, next } = await store.listBulks(page)
      return { bulks: await each(bulks, decodeBulk), next }
    },
    setBulk: async (id, state) => {
      const found = await store.setBulk(id, state)
      return found === null ? null : decodeBulk(found)
    },
    doBulkPart: async (id, plan) => {
      const part = await store.doBulkPart(id, async (bulk, row, events, now) => {
        const made = await plan(await decodeBulk(bulk), await coder.decodeRow(row), await decodeEvents(events), now)
        return { ...made, request: await encodeFork(made.request) }
      })
      return part === null ? null : { ...part, bulk: await decodeBulk(part.bulk) }
    },
    startAndPost: async (request, message) => {
      const answer = await store.startAndPost(await encodePayload(request), await encodePayload(message))
      return { ...answer, existing: await plainExisting(coder)(answer.existing) }
    },
    closeUnowned: async (runId, how, reason) => store.closeUnowned(runId, how, await encode(reason)),
    find: async (ref) => {
      const row = await store.find(ref)
      return row === null ? null : coder.decodeRow(row)
    },
    list: async (filter) => {
      const { rows, ...rest } = await store.list(filter)
      return { rows: await each(rows, coder.decodeRow), ...rest }
    },
    history: async (runId) => decodeEvents(await store.history(runId)),
    histories: async (runIds) => {
      const found = await store.histories(runIds)
      for (const [runId, events] of found) found.set(runId, await decodeEvents(events))
      return found
    },
    eventsAfter: async (places, limit) => each(await store.eventsAfter(places, limit), decodeEvents),
    rows: async (runIds, newest) => each(await store.rows(runIds, newest), coder.decodeRow),
    checkpoint: async (runId, op) => {
      const found = await store.checkpoint(runId, op)
      return found === null ? null : { payload: await decode(found.payload) }
    },
    relatives: async (runId, kind, page) => {
      const { rows, next } = await store.relatives(runId, kind, page)
      return { rows: await each(rows, coder.decodeRow), next }
    },
    diagnose: async (ref) => {
      const found = await store.diagnose(ref)
      return found === null ? null : { ...found, run: await coder.decodeRow(found.run) }
    },
    results: async (runIds) => each(await store.results(runIds), decodePayload),
    answers: async (updates) =>
      each(await store.answers(updates), async (known) =>
        known.answer === null ? known : { ...known, answer: await decodePayload(known.answer) },
      ),
    ask: async (query) => store.ask(await encodePayload(query)),
    collectAnswers: async (ids) =>
      each(await store.collectAnswers(ids), async ({ id, answer, error }) => ({
        id,
        answer: await decode(answer),
        error: await decode(error),
      })),

    claim: async (...args) => each(await store.claim(...args), coder.decodeClaimed),
    claimInLine: async (...args) => {
      const { runs, nextAt } = await store.claimInLine(...args)
      return { runs: await each(runs, coder.decodeClaimed), nextAt }
    },
    load: async (runIds) =>
      new Map(
        await each(await store.load(runIds), async ([runId, { events, inbox, checkpoints }]) => [
          runId,
          {
            events: await decodeEvents(events),
            inbox: await decodeMessages(inbox),
            checkpoints: new Map(await each(checkpoints, async ([op, text]) => [op, await decode(text)] as const)),
          },
        ]),
      ),
    inbox: async (runIds) =>
      new Map(
        await each(await store.inbox(runIds), async ([runId, { msgs, messages }]) => [
          runId,
          { msgs, messages: await decodeMessages(messages) },
        ]),
      ),
    append: async (workerId, batch, events) =>
      store.append(
        workerId,
        batch,
        await each(events, async (event) => ({
          ...(await encodePayload(event)),
          facts: await coder.encodeFacts(event.facts),
          child:
            event.child === null
              ? null
              : { ...(await encodePayload(event.child)), conflict: await encode(event.child.conflict) },
        })),
      ),
    change: async (workerId, changes) => store.change(workerId, await each(changes, encodeChange)),
    changeInTurn: async (workerId, change) => store.changeInTurn(workerId, await encodeChange(change)),
    transaction: async (workerId, run, body) => {
      // What goes into the inbox is coded; whoever has just made it gets it as it was.
      let plain: Text = null
      const done = await store.transaction(workerId, run, async (tx) => {
        plain = await body(tx)
        return encode(plain)
      })
      return done === null ? null : { n: done.n, payload: plain }
    },
    saveCheckpoint: async (workerId, runId, claim, op, payload) =>
      store.saveCheckpoint(workerId, runId, claim, op, await encode(payload)),
    takeQueries: async (...args) => each(await store.takeQueries(...args), decodePayload),
    answerQuery: async ({ id, answer, error }) =>
      store.answerQuery({ id, answer: await encode(answer), error: await encode(error) }),

    subscribe: (listener) =>
      store.subscribe({
        connected: () => listener.connected(),
        hint: (hint) => {
          if (hint.kind !== 'closed' || hint.result === undefined) listener.hint(hint)
          else void decodeHint(hint).then((plain) => listener.hint(plain))
        },
      }),
  }

  /** A result that cannot be decoded is asked for like any other, where the error has somebody to go to. */
  async function decodeHint({ result, ...hint }: Extract<Hint, { kind: 'closed' }>): Promise<Hint> {
    return decodePayload(result!).then(
      (plain) => ({ ...hint, result: plain }),
      () => hint,
    )
  }
  return { ...store, ...coded }
}
