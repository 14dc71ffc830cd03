/** What is said of a run that was made out of another. */
import type { Forked } from '../../client/forks.js'
import { clean, out, outJson, paintTalk, say } from './term.js'

/** The id on stdout, and on stderr what it shares and what to do next. */
export function tellForked(forked: Forked, origin: { readonly runId: string }, json: boolean): void {
  if (json) {
    const { id, runId, kept, of, anew, cut } = forked
    outJson({ id, runId, forkedFrom: { runId: origin.runId, seq: cut }, kept, of, anew })
    return
  }
  out(clean(forked.id))
  say(keptText(forked))
  if (forked.movedBy !== null) {
    say(
      paintTalk(
        'yellow',
        `it parts before the start of "${clean(forked.movedBy)}", which the code awaited: the fork starts a child of its own. --children keep takes over the one there is.`,
      ),
    )
  }
  const ref = clean(forked.runId)
  say(paintTalk('dim', `see it: stet show ${ref} --watch; beside its origin: stet diff ${clean(origin.runId)} ${ref}`))
}

/** `kept 7 of 12 events; "charge" runs anew`. */
export function keptText({ kept, of, anew }: Pick<Forked, 'kept' | 'of' | 'anew'>): string {
  const then = anew === null ? 'what comes behind them runs anew' : `"${clean(anew)}" runs anew`
  return `kept ${kept} of ${of} events; ${then}`
}
