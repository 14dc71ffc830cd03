/** What a worker that was lost had under way, and that comes to the store when its run has another owner. */
import { StetError } from '../core/errors.js'
import type { AppendEvent, RowChange, Store } from '../store/port.js'
import type { Runner } from '../worker/runner.js'
import type { Place } from './gate.js'

interface Lost {
  readonly store: Promise<Store>
  readonly workerId: string
  readonly runId: string
  readonly claim: number
  readonly event: AppendEvent
}

export class LateWrites {
  #lost: Lost | null = null
  #accepted: Promise<string[]> = Promise.resolve([])

  /** The worker was lost while it had this run. */
  expect(store: Promise<Store>, workerId: string, runner: Runner, { op, step }: Place): void {
    const { runId, claimed, execution } = runner
    const seq = execution.lastSeq + 1
    this.#lost = {
      store,
      workerId,
      runId,
      claim: claimed.claim,
      event: {
        ...{ runId, claim: claimed.claim, seq, firstSeq: seq, type: 'StepScheduled', op, name: step },
        ...{ payload: null, facts: null, inboxN: null, child: null, answers: null },
      },
    }
  }

  /** A run was claimed: if it is the one, somebody else has it now, and the writes come. */
  took({ runId }: Runner): void {
    if (this.#lost?.runId !== runId) return
    this.#accepted = this.#write(this.#lost)
    // Told by `check`, if it comes to that.
    this.#accepted.catch(() => {})
    this.#lost = null
  }

  /** @throws StetError code `crash_fence` when something was accepted; `where` says where the crash was. */
  async check(where: string): Promise<void> {
    const accepted = await this.#accepted
    this.#accepted = Promise.resolve([])
    if (accepted.length === 0) return
    throw new StetError(
      'crash_fence',
      `crashEverywhere: a worker was lost ${where}, and another had taken its run over; expected everything to be refused that the lost one still writes, but ${accepted.join(' and ')} was accepted. This is a fault of stet's, not of the workflow: please report it.`,
    )
  }

  async #write({ store: opening, workerId, runId, claim, event }: Lost): Promise<string[]> {
    const store = await opening
    const change: RowChange = {
      ...{ runId, claim, status: 'pending', seen: null, due: null, waits: null, problem: null, error: null },
      ...{ terminal: null, hasParent: false, hasChildren: false, successor: null },
    }
    const [appended, changed] = await Promise.all([
      store.append(workerId, `${workerId}.late`, [event]),
      store.change(workerId, [change]),
    ])
    const eventTaken = !appended.fenced && !appended.lost.has(runId)
    const changeTaken = !changed.fenced && !changed.others.has(runId)
    return [...(eventTaken ? ['an event'] : []), ...(changeTaken ? ['a change of the run'] : [])]
  }
}
