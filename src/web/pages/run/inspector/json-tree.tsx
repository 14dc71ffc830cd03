import { useState } from 'react'
import { count } from '../../../lib/format.ts'

const firstShown = 50
const moreShown = 200
const maxText = 400

/** A JSON value as text that can be folded. Never markup: whatever is in it is shown as it is. */
export function JsonTree({ value }: { readonly value: unknown }) {
  return (
    <div className="json" role="tree" aria-label="value">
      <Branch name={null} value={value} depth={0} />
    </div>
  )
}

function Branch({
  name,
  value,
  depth,
}: {
  readonly name: string | null
  readonly value: unknown
  readonly depth: number
}) {
  const isBranch = typeof value === 'object' && value !== null
  const entries = isBranch ? Object.entries(value) : []
  const [open, setOpen] = useState(depth < 2 && entries.length <= firstShown)
  const [shown, setShown] = useState(firstShown)
  const label =
    name === null ? null : (
      <>
        <bdi className="json-key">{name.length > maxText ? `${name.slice(0, maxText)}…` : name}</bdi>:{' '}
      </>
    )
  if (!isBranch || entries.length === 0) {
    return (
      <div className="json-leaf" role="treeitem" tabIndex={-1}>
        {label}
        <Leaf value={value} />
      </div>
    )
  }
  const [before, after] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  return (
    <div role="treeitem" aria-expanded={open} tabIndex={-1}>
      <button type="button" className="plain json-fold" onClick={() => setOpen(!open)}>
        <span aria-hidden="true">{open ? '▾' : '▸'}</span> {label}
        {open ? before : <span className="muted">{`${before} ${count(entries.length)} ${after}`}</span>}
      </button>
      {open && (
        <>
          {/* biome-ignore lint/a11y/useSemanticElements: the group of a tree is no fieldset */}
          <div className="json-inside" role="group">
            {entries.slice(0, shown).map(([key, each]) => (
              <Branch key={key} name={key} value={each} depth={depth + 1} />
            ))}
            {entries.length > shown && (
              <button type="button" className="plain" onClick={() => setShown(shown + moreShown)}>
                {count(entries.length - shown)} more
              </button>
            )}
          </div>
          {after}
        </>
      )}
    </div>
  )
}

function Leaf({ value }: { readonly value: unknown }) {
  const [whole, setWhole] = useState(false)
  if (value === undefined) return <span className="muted">nothing</span>
  if (typeof value !== 'string') {
    return <span className={`json-${typeof value}`}>{value === null ? 'null' : JSON.stringify(value)}</span>
  }
  const cut = value.length > maxText && !whole
  return (
    <span className="json-string">
      <bdi>{JSON.stringify(cut ? value.slice(0, maxText) : value)}</bdi>
      {value.length > maxText && (
        <button type="button" className="plain" onClick={() => setWhole(!whole)}>
          {cut ? `… all ${count(value.length)} characters` : 'less'}
        </button>
      )}
    </span>
  )
}
