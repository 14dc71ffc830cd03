/** The process that finds the calls at which a debugger is to stop. */
import type { CallPlace } from '../../debug/breaks.js'
import { userFrames } from '../../debug/places.js'
import { ReplaySession } from '../../debug/session.js'
import { answering } from '../lib/apart.js'
import { findCode } from '../lib/find-code.js'
import type { Question } from '../lib/replay/inspect.js'

answering(async ({ history, workflows, stops }: Question): Promise<CallPlace[]> => {
  const code = await findCode(history.run, workflows)
  const calls: { first: number; frame: CallPlace['frame'] | undefined }[] = []
  const session: ReplaySession = new ReplaySession(code.definition, code.identity, history.events, {
    called: () => calls.push({ first: session.execution.operationCount + 1, frame: userFrames()[0] }),
  })
  const places: CallPlace[] = []
  for (let step = await session.next(); step !== null; step = await session.next()) {
    for (const { name, nth, index } of step.asked) {
      if (!stops.some((stop) => stop.step === name && stop.nth === nth)) continue
      const call = calls.findLastIndex(({ first }) => first === index)
      const frame = calls[call]?.frame
      if (frame !== undefined) places.push({ call, frame })
    }
  }
  return places
})
