/** The process of a replay, as the one that asks it sees it. Loads nothing of the engine: the process is to begin soon. */
import type { MomentView, OpenedView } from '../../../debug/view.js'
import type { FoundHistory } from '../history.js'
import { takeReplay } from './begin.js'

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
  | { readonly open: ReplaySpec }
  | { readonly at: number }

/** Begins to load the code; the history may still be on its way. */
export function startReplayer(
  workflows: ReplaySpec['workflows'],
): { open(spec: ReplaySpec): Promise<Replayer> } & AsyncDisposable {
  const child = takeReplay()
  const loaded = child.ask({ load: workflows } satisfies Question)
  // What is wrong with the files is said when they are needed.
  loaded.catch(() => {})
  return {
    // Not when the code is loaded: the history is to be on its way meanwhile.
    open: async (spec) => {
      const opened = await child.ask({ open: spec } satisfies Question)
      return { opened, at: (seq) => child.ask({ at: seq } satisfies Question), close: () => child.close() }
    },
    [Symbol.asyncDispose]: () => child.close(),
  }
}
