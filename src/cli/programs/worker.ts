/** The process of a worker that is a child of `stet dev` or `stet worker --processes`. */
import type { FromChild, ToChild } from '../lib/child.js'
import { exit, exitCodeOf, sayError } from '../lib/errors.js'
import { runWorker } from '../lib/worker-process.js'

const stop = new AbortController()
process.on('SIGINT', () => {})
process.on('SIGTERM', () => stop.abort())
// The parent is gone: nobody else would ever end this process. It went while this drained: it was told to quit at once.
process.on('disconnect', () => (stop.signal.aborted ? process.exit(exit.failed) : stop.abort()))
process.on('message', (message: ToChild) => {
  if (message === 'drain') {
    stop.abort()
    return
  }
  const started = (names: string[]) => process.send?.({ started: names } satisfies FromChild)
  runWorker(message.work, stop.signal, started).then(
    () => process.exit(0),
    (error) => {
      sayError(error, false)
      process.exit(exitCodeOf(error))
    },
  )
})
