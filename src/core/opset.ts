/**
 * Sets of operation indices that grow out of one another and share what they have in common, so that a run of n
 * operations can keep one for each of them.
 *
 * O1. A finished set never changes, nor do its blocks: sets share blocks, and equal blocks are usually the same object.
 * O2. A block that is there is not empty.
 */

/** Blocks of 512 operations, one bit each. Small enough to copy, large enough that there are few. */
const wordsInBlock = 16
const opsInBlock = wordsInBlock * 32

type Block = readonly number[]

/** A finished set. */
export type OpSet = readonly (Block | undefined)[]

export function has(set: OpSet, op: number): boolean {
  const block = set[Math.floor(op / opsInBlock)]
  return block !== undefined && (block[wordOf(op)]! & bitOf(op)) !== 0
}

/** True when everything in `part` is in `set`. */
export function includes(set: OpSet, part: OpSet): boolean {
  if (set === part) return true
  if (part.length > set.length) return false
  for (let i = 0; i < part.length; i++) {
    const wanted = part[i]
    const there = set[i]
    if (wanted === undefined || wanted === there) continue
    if (there === undefined || !blockIncludes(there, wanted)) return false
  }
  return true
}

/** A set in the making. `done` ends that; nothing may be added afterwards. */
export class OpSetDraft {
  readonly #blocks: (Block | undefined)[] = []
  /** Blocks that no finished set has yet, and which may therefore be written to. */
  readonly #own: (number[] | undefined)[] = []

  add(op: number): void {
    const i = Math.floor(op / opsInBlock)
    this.#writable(i)[wordOf(op)]! |= bitOf(op)
  }

  addAll(set: OpSet): void {
    for (let i = 0; i < set.length; i++) {
      const more = set[i]
      const there = this.#blocks[i]
      if (more === undefined || more === there) continue
      if (there === undefined || blockIncludes(more, there)) {
        this.#blocks[i] = more
        this.#own[i] = undefined
      } else if (!blockIncludes(there, more)) {
        const block = this.#writable(i)
        for (let word = 0; word < wordsInBlock; word++) block[word]! |= more[word]!
      }
    }
  }

  has(op: number): boolean {
    return has(this.#blocks, op)
  }

  done(): OpSet {
    // A draft may have been given a far block first.
    for (let i = 0; i < this.#blocks.length; i++) this.#blocks[i] ??= undefined
    return this.#blocks
  }

  #writable(i: number): number[] {
    let block = this.#own[i]
    if (block === undefined) {
      block = this.#blocks[i]?.slice() ?? new Array<number>(wordsInBlock).fill(0)
      this.#own[i] = block
      this.#blocks[i] = block
    }
    return block
  }
}

function blockIncludes(block: Block, part: Block): boolean {
  for (let word = 0; word < wordsInBlock; word++) if ((part[word]! & ~block[word]!) !== 0) return false
  return true
}

function wordOf(op: number): number {
  return (op % opsInBlock) >>> 5
}

function bitOf(op: number): number {
  return 1 << (op & 31)
}
