import type { RecordedEvent } from '../../core/events.js'
import type { OpenOperation } from '../../core/pending.js'
import type { RunDiagnosis } from '../../store/port.js'

/**
 * Why a run is where it is. Codes are stable; more may come.
 *
 * | Code | The run |
 * |---|---|
 * | `completed` `failed` `cancelled` `terminated` `continued` | is closed |
 * | `blocked` | does not go on: its code does not fit its history, or awaits what is not recorded |
 * | `quarantined` | is blocked, for it ended the process of one worker after another |
 * | `paused` | was paused |
 * | `delayed` | is not to begin before a time |
 * | `suspect` | crashed its workers, and pauses before it is tried again |
 * | `no_worker` | could go on; no worker is live |
 * | `no_worker_queue` | could go on; no live worker listens on its queue |
 * | `no_worker_workflow` | could go on; no live worker of its queue has its workflow |
 * | `no_worker_version` | could go on; no live worker of its queue has its version |
 * | `limited` | could go on; a limit lets no more through, or its queue is paused |
 * | `queued` | could go on, and waits for its turn |
 * | `owner_gone` | is owned by a worker that is no more, and is about to be taken over |
 * | `owner_silent` | is owned by a worker that gives no sign of life |
 * | `executing` | executes a step, or several |
 * | `running` | is held by a worker; nothing that takes time is on record |
 * | `retrying` | waits for the next attempt of a step |
 * | `waiting_signal` `waiting_timer` `waiting_child` `waiting_condition` | waits for that |
 * | `waiting_many` | waits for several things |
 * | `waiting_unknown` | waits for something that an exported file does not tell |
 */
export type WhyCode =
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'terminated'
  | 'continued'
  | 'blocked'
  | 'quarantined'
  | 'paused'
  | 'delayed'
  | 'suspect'
  | 'no_worker'
  | 'no_worker_queue'
  | 'no_worker_workflow'
  | 'no_worker_version'
  | 'limited'
  | 'queued'
  | 'owner_gone'
  | 'owner_silent'
  | 'executing'
  | 'running'
  | 'retrying'
  | 'waiting_signal'
  | 'waiting_timer'
  | 'waiting_child'
  | 'waiting_condition'
  | 'waiting_many'
  | 'waiting_unknown'

export interface Reason {
  readonly code: WhyCode
  /** One sentence. */
  readonly message: string
  /** What it rests on: plain JSON, times as ISO dates. */
  readonly evidence: Record<string, unknown>
}

/** What is known of a run. */
export interface Facts {
  readonly diagnosis: RunDiagnosis
  readonly events: readonly RecordedEvent[]
  /** Operations that were asked for and not settled. */
  readonly open: readonly OpenOperation[]
}
