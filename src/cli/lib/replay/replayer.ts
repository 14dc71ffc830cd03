/** The process of a replay, as the one that asks it sees it. Loads nothing of the engine: the process is to begin soon. */
import type { MomentView, OpenedView } from '../../../debug/view.js'
import { apart } from '../apart.js'
import type { FoundHistory } from '../history.js'

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

export type Question =
  | { readonly load: ReplaySpec['workflows'] }
  /** The history as text: of ten thousand events it is read in a third of the time that their structure takes. */
  | {
      readonly open: {
        readonly history: string
        readonly workflows: ReplaySpec['workflows']
        readonly live: readonly string[]
      }
    }
  | { readonly at: number }

/** Begins to load the code; the history may still be on its way. */
export function startReplayer(
  workflows: ReplaySpec['workflows'],
): { open(spec: ReplaySpec): Promise<Replayer> } & AsyncDisposable {
  const child = apart(new URL('./process.js', import.meta.url).href)
  // What is wrong with the files is said when they are needed.
  child.tell({ load: workflows } satisfies Question)
  return {
    open: async (spec) => {
      const history = JSON.stringify(spec.history)
      const opened = await child.ask({ open: { ...spec, history } } satisfies Question)
      return { opened, at: (seq) => child.ask({ at: seq } satisfies Question), close: () => child.close() }
    },
    [Symbol.asyncDispose]: () => child.close(),
  }
}
