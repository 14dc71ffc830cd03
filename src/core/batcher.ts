import { NoDatabaseError } from './errors.js'

/**
 * Gathers single requests into batches. Nothing waits on a timer: while nothing is under way a request goes at once
 * (with whatever else came in the same moment); while a batch is under way the next one grows.
 */
export class Batcher<Item, Answer> {
  readonly #perform: (items: readonly Item[]) => Promise<readonly (Answer | Promise<Answer>)[]>
  readonly #maxItems: number
  #waiting: { item: Item; resolve: (answer: Answer | Promise<Answer>) => void; reject: (error: unknown) => void }[] = []
  #busy = false
  #scheduled = false

  /** `perform` answers for each item, in the order of the items. An answer that is a promise holds up nobody else. */
  constructor(perform: (items: readonly Item[]) => Promise<readonly (Answer | Promise<Answer>)[]>, maxItems = 500) {
    this.#perform = perform
    this.#maxItems = maxItems
  }

  add(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#busy || this.#scheduled) return
      this.#scheduled = true
      process.nextTick(() => {
        this.#scheduled = false
        void this.#run()
      })
    })
  }

  async #run(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#maxItems)
      try {
        const answers = await this.#perform(batch.map(({ item }) => item))
        batch.forEach(({ resolve }, i) => {
          resolve(answers[i]!)
        })
      } catch (error) {
        // One bad item must not fail the others; a database that is away fails them all, and has been waited for.
        if (batch.length === 1 || error instanceof NoDatabaseError) for (const { reject } of batch) reject(error)
        else await this.#oneByOne(batch)
      }
    }
    this.#busy = false
  }

  async #oneByOne(
    batch: { item: Item; resolve: (answer: Answer | Promise<Answer>) => void; reject: (error: unknown) => void }[],
  ) {
    for (const { item, resolve, reject } of batch) {
      await this.#perform([item]).then(([answer]) => resolve(answer!), reject)
    }
  }
}
