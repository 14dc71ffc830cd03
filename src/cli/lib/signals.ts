/** SIGTERM and SIGINT: the first one asks to stop, the second one quits at once. */
import { exit } from './errors.js'
import { paintTalk, say } from './term.js'

/** Aborted by the first signal. `quit` runs before the process ends by the second one. */
export function stopSignal(quit: () => void = () => {}): AbortSignal {
  const stop = new AbortController()
  const onSignal = (signal: string) => {
    if (stop.signal.aborted) {
      quit()
      process.exit(exit.failed)
    }
    say(paintTalk('dim', `${signal}: stopping (again to quit at once)`))
    stop.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return stop.signal
}
