/** Places in a history that go by the name of a step. */
import type { RecordedEvent } from '../core/events.js'

export interface StepPlace {
  /** `charge`, or `charge#2` for the second of its name. */
  readonly key: string
  /** The event that settles it. */
  readonly seq: number
}

const settling = /^(Step(Completed|Failed|Skipped)|Child(Completed|Failed)|TimerFired|SignalReceived)$/

export function stepPlaces(events: readonly RecordedEvent[]): StepPlace[] {
  return events
    .filter(({ type, name, op }) => settling.test(type) && name !== null && op !== null)
    .map(({ name, facts, seq }) => ({ key: facts?.nth === undefined ? name! : `${name}#${facts.nth}`, seq }))
}
