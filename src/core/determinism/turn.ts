/** What a turn offers to the patched globals. The engine's Execution implements it; one object serves all turns of it. */
export interface TurnSource {
  /** Milliseconds since 1970: the database's time of the event being applied; constant during one turn. */
  now(): number
  /** Uniform unsigned 32-bit integers, seeded by run, event and draw. */
  nextUint32(): number
  /**
   * A durable timer: when it fires, `callback` is called inside a later turn of the same run. `name` is the function
   * that the workflow called (`setTimeout`, …). Returns the function that cancels it.
   */
  startTimer(name: string, ms: number, callback: () => void): () => void
}

/** The one place where the patched functions look. `ask` is replaced when a second copy of the package registers. */
export interface Hub {
  /** The source whose turn is executing, or null: then the caller must behave exactly as the original. */
  ask: () => TurnSource | null
}
