/** What a process needs before workflow code runs in it. */
import { installCauses } from './causes.js'
import { installDeterminism } from './determinism.js'
import { refuseBundled } from './package.js'
import { shared } from './state.js'

let installed = false

/** Once. @throws StetError code `bundled`: the engine is in somebody's bundle */
export function installRuntime(): void {
  if (installed) return
  refuseBundled()
  installed = true
  installCauses()
  installDeterminism(() => shared.current as any)
  process.on('unhandledRejection', (reason) => {
    // A rejection inside a turn belongs to the run; any other ends the process, as it would without stet.
    const run = shared.current as { unhandled?: unknown[] } | null
    if (run?.unhandled !== undefined) run.unhandled.push(reason)
    else if (process.listenerCount('unhandledRejection') === 1) throw reason
  })
}
