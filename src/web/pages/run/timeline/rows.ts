/** The rows of the timeline: a step each, and those of children that are opened below them. Ten thousand cost little. */
import { attemptsOf, type RunModel, type Step } from '../model/model.ts'
import { childPath, type Opened } from '../model/scene.ts'

export interface Row {
  readonly path: string
  readonly depth: number
  readonly step: Step
  readonly view: RunModel
}

interface Part {
  readonly path: string
  readonly depth: number
  readonly view: RunModel
}

export class Rows {
  /** Where a row is: in which part, and the index of its step there. */
  readonly #parts: Part[] = []
  readonly #part: number[] = []
  readonly #index: number[] = []

  constructor(runs: ReadonlyMap<string, Opened>, opened: ReadonlySet<string>) {
    this.#add(runs, opened, '', 0)
  }

  get length(): number {
    return this.#index.length
  }

  at(i: number): Row {
    const { path, depth, view } = this.#parts[this.#part[i]!]!
    return { path, depth, view, step: view.steps[this.#index[i]!]! }
  }

  indexOf(path: string, key: string | undefined): number {
    if (key === undefined) return -1
    const part = this.#parts.findIndex((each) => each.path === path)
    const index = this.#parts[part]?.view.byKey.get(key)?.index
    return index === undefined ? -1 : this.#index.findIndex((each, i) => each === index && this.#part[i] === part)
  }

  #add(runs: ReadonlyMap<string, Opened>, opened: ReadonlySet<string>, path: string, depth: number): void {
    const view = runs.get(path)?.view
    if (view === undefined || view === null) return
    const part = this.#parts.push({ path, depth, view }) - 1
    for (const { shown, index, kind, key } of view.steps) {
      if (shown === 'ghost') continue
      this.#part.push(part)
      this.#index.push(index)
      if (kind !== 'child' || opened.size === 0) continue
      const inside = childPath(path, key)
      if (opened.has(inside)) this.#add(runs, opened, inside, depth + 1)
    }
  }
}

type Span = readonly [from: number, to: number]

const busy = new WeakMap<RunModel, readonly Span[]>()
const busyStep = new WeakMap<Step, readonly Span[]>()

/**
 * When something executed, as far as is known now: what is shown of an earlier moment ends before the rest. A child is
 * not what its parent does; it counts by its own steps, where they are shown.
 */
export function busyIn(runs: ReadonlyMap<string, Opened>): readonly Span[] {
  const all = [...runs.values()].flatMap(({ now }) => (now === null ? [] : [busyOf(now)]))
  return all.length === 1 ? all[0]! : all.flat()
}

function busyOf(model: RunModel): readonly Span[] {
  const known = busy.get(model)
  if (known !== undefined) return known
  const spans: Span[] = []
  for (const step of model.steps) {
    let own = busyStep.get(step)
    if (own === undefined) {
      own = spansOf(step, model)
      busyStep.set(step, own)
    }
    for (const span of own) spans.push(span)
  }
  spans.sort((a, b) => a[0] - b[0])
  busy.set(model, spans)
  return spans
}

function spansOf(step: Step, model: RunModel): readonly Span[] {
  const { startedAt, endedAt, kind } = step
  if (startedAt === null) return []
  if (kind !== 'step' && kind !== 'transaction') {
    return endedAt === null
      ? [[startedAt, startedAt]]
      : [
          [startedAt, startedAt],
          [endedAt, endedAt],
        ]
  }
  const begun = step.shown === 'retrying' ? Number.NEGATIVE_INFINITY : startedAt
  return attemptsOf(step, model.events, begun).map(({ startedAt: from, endedAt: to }) => [
    from,
    to ?? Number.MAX_SAFE_INTEGER,
  ])
}

/** When the last event of it was recorded; 0: there is none. */
export function lastAt(view: RunModel | null): number {
  return view === null || view.length === 0 ? 0 : view.events[view.length - 1]!.at
}
