/** The live feed. */
import { streamSSE } from 'hono/streaming'
import { maxBriefBytes } from '../../client/run-view.js'
import { get, type Route } from '../route.js'
import { flag, list, object, text } from '../schema.js'
import { maxWatched, watchRequest } from '../watcher.js'

/** How long a browser waits before it comes again, ms. */
const retryMs = 2_000

export const feedRoutes: readonly Route[] = [
  get('/api/feed', {
    summary: 'What is new, as it happens (server-sent events)',
    query: object(
      {},
      {
        runs: list(
          text(undefined, 120),
          maxWatched,
          'run ids, each with :seq of the last event that is known, or without: from now on',
        ),
        lists: flag('changes of runs in lists, and of counts'),
        brief: flag(`values of more than ${maxBriefBytes} bytes as { omitted: <bytes> }`),
      },
    ),
    answer: {
      type: 'string',
      description: [
        'ready: it is known where all runs stand.',
        'history: { runId, event }, in order, none twice; an event whose payload is very long has data.tooLong.',
        'run: a watched run whose row has changed, as its summary has it but for its input. missing: { runId }, there is no such run.',
        'runs: { runs }, rows of lists that are new or have changed; reset: read the lists anew.',
        'counts: as /api/counts.',
        'The id of the last event, given as Last-Event-ID, goes on where the line was cut.',
      ].join(' '),
    },
    produces: 'text/event-stream',
    live: true,
    run: async ({ house, query, http }) => {
      const { runs = [], lists = false, brief = false } = query
      const lastId = http.req.header('last-event-id') ?? null
      const watcher = house.feed.open(watchRequest(runs, lastId, lists, brief))
      http.req.raw.signal.addEventListener('abort', () => watcher.close())
      const response = streamSSE(
        http,
        async (stream) => {
          stream.onAbort(() => watcher.close())
          watcher.onClosed = () => stream.abort()
          let retry: number | undefined = retryMs
          for (let batch = await watcher.next(); batch !== null; batch = await watcher.next()) {
            for (const { event, data, id } of batch) {
              if (event === null) await stream.write(`: ${data}\n\n`)
              else
                await stream.writeSSE({
                  event,
                  data,
                  ...(id === undefined ? {} : { id }),
                  ...(retry === undefined ? {} : { retry }),
                })
              if (event !== null) retry = undefined
            }
          }
        },
        async () => watcher.close(),
      )
      response.headers.set('cache-control', 'no-cache, no-transform')
      response.headers.set('x-accel-buffering', 'no')
      return response
    },
  }),
]
