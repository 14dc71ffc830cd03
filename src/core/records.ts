/**
 * What a run puts on record beside its operations: attributes, and the patches that it is on.
 *
 * It takes no number: it follows from the code like a command, and its event says only that it is on record. What the
 * history does not have yet is the runner's to append.
 */
import type { EventDraft, RecordedEvent } from './events.js'

export class Records {
  /** Patches on record, and those that were passed without. */
  readonly #patches = new Map<string, boolean>()
  /** Made by the code and not in the history, oldest first. */
  readonly #unrecorded: EventDraft[] = []
  /** The last event of the history that is being delivered; 0: none. */
  #recordedUpTo = 0

  /** A whole history is about to be delivered. */
  expect(events: readonly RecordedEvent[]): void {
    for (const { type, name } of events) if (type === 'PatchMarked') this.#patches.set(name!, true)
    this.#recordedUpTo = events.at(-1)?.seq ?? 0
  }

  add(draft: Pick<EventDraft, 'type' | 'name' | 'payload'>): EventDraft {
    const whole: EventDraft = { ...draft, op: null, facts: null }
    this.#unrecorded.push(whole)
    return whole
  }

  /** An event says that the oldest of its kind is on record; false: the code has made none. */
  recorded({ type, name }: RecordedEvent): boolean {
    const i = this.#unrecorded.findIndex((draft) => draft.type === type && draft.name === name)
    if (i !== -1) this.#unrecorded.splice(i, 1)
    return i !== -1
  }

  get unrecorded(): readonly EventDraft[] {
    return this.#unrecorded
  }

  /**
   * Whether the run is on the patched path: it is on record that it is, or it comes here for the first time beyond its
   * recorded history, in the turn of event `seq`. `first`: it does, so that is to be put on record.
   */
  patch(id: string, seq: number): { patched: boolean; first: boolean } {
    const known = this.#patches.get(id)
    if (known !== undefined) return { patched: known, first: false }
    const patched = seq >= this.#recordedUpTo
    this.#patches.set(id, patched)
    return { patched, first: patched }
  }
}
