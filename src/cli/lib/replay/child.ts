/**
 * The process that holds the user's code during a replay in a terminal: told by messages what to show. Reloading is to
 * end it and begin another, so the code is read afresh, all of it.
 */
import { TimeMachine } from '../../../debug/timeline.js'
import { type MomentView, momentView, type OpenedView, openedView } from '../../../debug/view.js'
import { answering, apart } from '../apart.js'
import { findCode } from '../find-code.js'
import type { FoundHistory } from '../history.js'
import { loadWorkflows } from '../workflow-files.js'

export interface ReplaySpec {
  readonly history: FoundHistory
  readonly workflows: readonly string[] | undefined
  /** Steps whose bodies really run. */
  readonly live: readonly string[]
}

/** A run that is replayed by a process of its own. */
export interface Replayer {
  /** The file that has the code, and what the whole replay came to. */
  readonly opened: { readonly file: string; readonly view: OpenedView }
  at(seq: number): Promise<MomentView>
  close(): Promise<void>
}

type Question = { readonly load: ReplaySpec['workflows'] } | { readonly open: ReplaySpec } | { readonly at: number }

/** Begins to load the code; the history may still be on its way. */
export function startReplayer(
  workflows: ReplaySpec['workflows'],
): { open(spec: ReplaySpec): Promise<Replayer> } & AsyncDisposable {
  const child = apart(import.meta.url)
  const loaded = child.ask({ load: workflows } satisfies Question)
  // What is wrong with the files is said when they are needed.
  loaded.catch(() => {})
  return {
    open: async (spec) => {
      await loaded.catch(() => {})
      const opened = await child.ask({ open: spec } satisfies Question)
      return { opened, at: (seq) => child.ask({ at: seq } satisfies Question), close: () => child.close() }
    },
    [Symbol.asyncDispose]: () => child.close(),
  }
}

let machine: TimeMachine
answering(import.meta.url, async (question: Question): Promise<unknown> => {
  if ('load' in question) return void (await loadWorkflows(question.load))
  if ('at' in question) return momentView(machine.events, await machine.timeline(), await machine.at(question.at))
  const { history, workflows, live } = question.open
  const code = await findCode(history.run, workflows)
  machine = new TimeMachine(code.definition, code.identity, history.events, { live })
  return { file: code.file, view: openedView(history.events, await machine.timeline()) }
})
