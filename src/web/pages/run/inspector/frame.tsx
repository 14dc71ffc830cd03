/** What the parts of the inspector are made of. */
import type { ReactNode } from 'react'
import { Copyable } from '../../../parts/basics.tsx'
import { cutName } from '../graph/node.tsx'
import type { RunModel } from '../model/model.ts'
import type { Summary } from '../model/run-data.ts'
import type { Selected } from '../selection.ts'

export interface Inspected {
  readonly summary: Summary
  readonly view: RunModel
  /** Members of the group that is selected. */
  readonly group: readonly number[] | null
}

export interface InspectorProps {
  readonly inspected: Inspected
  readonly selected: Selected
  /** The moment that is shown; null: now. */
  readonly then: number | null
  /** Null: whoever is here may not. */
  readonly onFork: ((at: string | number) => void) | null
  readonly attributes: Readonly<Record<string, unknown>>
}

export function Frame({
  title,
  kind,
  children,
  onClose,
}: {
  title: ReactNode
  kind: ReactNode
  children: ReactNode
  onClose?: () => void
}) {
  return (
    <>
      <header className="inspector-title">
        <div className="grow">
          <div className="muted small">{kind}</div>
          <h2 className="title">{title}</h2>
        </div>
        {onClose !== undefined && (
          <button type="button" className="plain" aria-label="Select nothing" title="show the run" onClick={onClose}>
            ✕
          </button>
        )}
      </header>
      <div className="inspector-body">{children}</div>
    </>
  )
}

export function Facts({ facts }: { readonly facts: readonly (readonly [string, ReactNode] | null | false)[] }) {
  return (
    <dl className="facts">
      {facts.map((fact) =>
        fact === null || fact === false ? null : (
          <div key={fact[0]}>
            <dt>{fact[0]}</dt>
            <dd>{fact[1]}</dd>
          </div>
        ),
      )}
    </dl>
  )
}

/** As a word of a shell. */
export function shell(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

export function Command({ text }: { readonly text: string }) {
  return (
    <div className="command">
      <Copyable text={text} />
    </div>
  )
}

/** Keys of steps, each the way to it. */
export function Keys({ keys, to }: { readonly keys: readonly string[]; readonly to: (key: string) => () => void }) {
  if (keys.length === 0) return <span className="muted">nothing on record</span>
  return (
    <span className="keys">
      {keys.map((key) =>
        key === 'start' || key === '…' ? (
          <span key={key}>{key}</span>
        ) : (
          <button key={key} type="button" className="plain small" onClick={to(key)}>
            <bdi className="cut">{cutName(key)}</bdi>
          </button>
        ),
      )}
    </span>
  )
}
