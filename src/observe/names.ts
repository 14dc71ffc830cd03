/** Names as labels: there are never more of them than these, whatever the code puts into the names of its steps. */

export const maxWorkflows = 200
/** Of each workflow. */
export const maxSteps = 200
export const maxQueues = 200

/** Stands for all that came when there were enough. */
export const other = 'other'

const digits = /\d+/g

/** The name under which a step is counted: `fetch page 12` is `fetch page #`. */
export function stepLabel(name: string): string {
  return name.replace(digits, '#')
}

/** The first so many names that come; any further is `other`. */
export class Names {
  readonly #max: number
  readonly #known = new Set<string>()

  constructor(max: number) {
    this.#max = max
  }

  of(name: string): string {
    if (this.#known.has(name)) return name
    if (this.#known.size >= this.#max) return other
    this.#known.add(name)
    return name
  }
}
