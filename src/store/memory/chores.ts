/** What is to be done after runs have closed: their children are told, as their policies say. */
import { closeUnowned, postMessages, toldByParent } from './messages.js'
import type { Run, State } from './state.js'

const reason = 'the run that started it has closed'
/** How many runs, and children of each, are looked at in one call. */
const maxParents = 20
const maxChildren = 200

export function tellChildren(state: State): { left: number; closed: string[]; posted: string[] } {
  const closed: string[] = []
  const posted: string[] = []
  const parents = [...state.chores].sort(([, a], [, b]) => a - b).slice(0, maxParents)
  let left = 0
  for (const [parent] of parents) {
    const children = untold(state, parent)
    // Done with only when a look finds nobody: there may be more children than one look takes in.
    if (children.length === 0) state.chores.delete(parent)
    else left++
    for (const { runId, parentClose, claim } of children) {
      const how = parentClose === 'terminate' ? 'terminate' : claim === 0 ? 'cancelBeforeBegin' : null
      if (how !== null && closeUnowned(state, runId, how, reason) !== null) closed.push(runId)
      else {
        const kind = parentClose === 'terminate' ? 'terminate' : 'cancel'
        postMessages(state, [
          { run: runId, kind, name: null, payload: JSON.stringify(reason), messageId: toldByParent },
        ])
        posted.push(runId)
      }
    }
  }
  return { left, closed, posted }
}

function untold(state: State, parent: string): Run[] {
  const children = [...state.open].filter(
    ({ parentRunId, parentClose, messageIds }) =>
      parentRunId === parent && parentClose !== 'abandon' && !messageIds.has(toldByParent),
  )
  return children.slice(0, maxChildren)
}
