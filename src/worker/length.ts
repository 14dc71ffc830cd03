import { continueAsNewAfter } from '../core/ctx.js'
import type { RunnerHost } from './host.js'

/** A long history works, and costs more each time that it is loaded: told when `more` events make it one. */
export function warnOfLength(host: Pick<RunnerHost, 'log'>, run: string, before: number, more: number): void {
  if (before > continueAsNewAfter || before + more <= continueAsNewAfter) return
  host.log('warn', 'the history of a run is long: ctx.continueAsNew begins a new one', { run, events: before + more })
}
