/**
 * The process that holds the user's code during a replay in a terminal: told by messages what to show. Reloading is to
 * end it and begin another, so the code is read afresh, all of it.
 */
import { TimeMachine } from '../../debug/timeline.js'
import { momentView, openedView } from '../../debug/view.js'
import { answering } from '../lib/apart.js'
import { findCode } from '../lib/find-code.js'
import type { Question } from '../lib/replay/replayer.js'
import { loadWorkflows } from '../lib/workflow-files.js'

let machine: TimeMachine
answering(async (question: Question): Promise<unknown> => {
  if ('load' in question) return void (await loadWorkflows(question.load))
  if ('at' in question) return momentView(machine.events, await machine.timeline(), await machine.at(question.at))
  const { history, workflows, live } = question.open
  const code = await findCode(history.run, workflows)
  machine = new TimeMachine(code.definition, code.identity, history.events, { live })
  return { file: code.file, view: openedView(history.events, await machine.timeline()) }
})
