/**
 * Ways through a tree of choices, no two of them alike, until there is no further one.
 *
 * The first way takes the first of everything. Each further one is drawn among those not taken yet: so as many as there
 * are time for are a sample, and when none is left it was all of them.
 */

interface Node {
  readonly labels: readonly string[]
  readonly next: (Node | 'exhausted' | undefined)[]
}

export interface OtherLabels {
  readonly expected: readonly string[]
  readonly got: readonly string[]
}

export class Choices {
  readonly #random: () => number
  #root: Node | 'exhausted' | undefined
  /** The way that is being taken. */
  #way: { node: Node; taken: number }[] = []
  #changed: OtherLabels | null = null
  #first = true

  /** `random` gives whole numbers from 0, uniformly. */
  constructor(random: () => number) {
    this.#random = random
  }

  /** All ways were taken. */
  get exhausted(): boolean {
    return this.#root === 'exhausted'
  }

  /** The next choice on this way, among what is called so; the same choices before it give the same labels. */
  choose(labels: readonly string[]): number {
    const last = this.#way.at(-1)
    const known = last === undefined ? this.#root : last.node.next[last.taken]
    const node = known === undefined || known === 'exhausted' ? { labels, next: [] } : known
    if (node.labels.join() !== labels.join()) this.#changed ??= { expected: node.labels, got: labels }
    if (this.#changed !== null) return 0
    if (known === undefined) this.#put(node)
    const open = labels.map((_, i) => i).filter((i) => node.next[i] !== 'exhausted')
    const taken = this.#first ? 0 : open[this.#random() % open.length]!
    this.#way.push({ node, taken })
    return taken
  }

  /** The way is at its end. Not null: the choices were not those that they were before. */
  end(): OtherLabels | null {
    const { node, taken } = this.#way.at(-1) ?? {}
    const beyond = node === undefined ? this.#root : node.next[taken!]
    // Where a way went on before, this one ended.
    if (beyond !== undefined && beyond !== 'exhausted') this.#changed ??= { expected: beyond.labels, got: [] }
    if (this.#changed !== null) return this.#changed
    this.#first = false
    this.#put('exhausted')
    for (;;) {
      const step = this.#way.pop()
      if (step === undefined) return null
      const { labels, next } = step.node
      if (labels.some((_, i) => next[i] !== 'exhausted')) break
      this.#put('exhausted')
    }
    this.#way = []
    return null
  }

  /** What is behind the last choice of this way. */
  #put(what: Node | 'exhausted'): void {
    const last = this.#way.at(-1)
    if (last === undefined) this.#root = what
    else last.node.next[last.taken] = what
  }
}
