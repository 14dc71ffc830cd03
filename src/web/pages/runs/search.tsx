/** The search of runs: one text, its parts as chips, and filters that were kept. */
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { statuses } from '../../lib/counts.ts'
import { FilterError, filterKeys, filterOf, idIn, type Part, partsOf, textOf, withPart } from '../../lib/filter.ts'
import { Menu } from '../../parts/menu.tsx'
import { useSaved } from './saved.ts'

export const searchId = 'search-runs'

/** Null: it can be used. */
function problemOf(text: string): string | null {
  try {
    const parts = partsOf(text)
    if (idIn(parts) === null) filterOf(parts)
    return null
  } catch (error) {
    if (error instanceof FilterError) return error.message
    throw error
  }
}

export function Search({
  text,
  found,
  workflows,
  onSearch,
}: {
  readonly text: string
  /** What became of the search for an id, if it was one. */
  readonly found: string | null
  readonly workflows: readonly string[]
  readonly onSearch: (text: string) => void
}) {
  const [draft, setDraft] = useState(text)
  const [problem, setProblem] = useState<string | null>(null)
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    setDraft(text)
    setProblem(problemOf(text))
  }, [text])
  const search = (event?: FormEvent) => {
    event?.preventDefault()
    const wrong = problemOf(draft)
    setProblem(wrong)
    if (wrong === null) onSearch(draft.trim())
  }
  const parts = problemOf(text) === null ? partsOf(text) : []
  return (
    <search className="stack search">
      <div className="row">
        <form className="row grow" onSubmit={search}>
          <input
            id={searchId}
            ref={input}
            className="grow mono"
            type="search"
            aria-label="Search runs"
            aria-describedby="search-says"
            placeholder='status:failed workflow:order error:"card declined" attr.tenant:acme, or an id'
            spellCheck={false}
            autoComplete="off"
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
          />
          <button type="submit">Search</button>
        </form>
        <AddPart workflows={workflows} onAdd={(part) => onSearch(textOf(withPart(parts, part)))} />
        <Saved text={text} onSearch={onSearch} />
      </div>
      <div className="row" id="search-says">
        {parts.map((part, i) => (
          <span key={textOf([part])} className="chip">
            <span className="cut" title={textOf([part])}>
              <span className="muted">{part.key.startsWith('attr.') ? part.key.slice(5) : part.key}</span> {part.value}
            </span>
            <button
              type="button"
              className="plain"
              aria-label={`Take away ${textOf([part])}`}
              onClick={() => onSearch(textOf(parts.filter((_, j) => j !== i)))}
            >
              ×
            </button>
          </span>
        ))}
        {(problem ?? found) !== null && (
          <span className="wrong" role="alert">
            {problem ?? found}
          </span>
        )}
      </div>
    </search>
  )
}

/** One part by form, for those who do not know what can be searched for. */
function AddPart({
  workflows,
  onAdd,
}: {
  readonly workflows: readonly string[]
  readonly onAdd: (part: Part) => void
}) {
  const [key, setKey] = useState('workflow')
  const [name, setName] = useState('')
  const [value, setValue] = useState('')
  const add = () => {
    onAdd({ key: key === 'attr.' ? key + name.trim() : key, value: value.trim() })
    setValue('')
  }
  return (
    <Menu label="+ Filter">
      {(close) => (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault()
            if (value.trim() === '' || (key === 'attr.' && name.trim() === '')) return
            add()
            close()
          }}
        >
          <label className="field">
            What
            <select
              value={key}
              onChange={(event) => {
                setKey(event.target.value)
                setValue('')
              }}
            >
              {filterKeys
                .filter((each) => each.key !== 'id')
                .map((each) => (
                  <option key={each.key} value={each.key}>
                    {each.key === 'attr.' ? 'attribute' : each.key === 'error' ? 'text in the error' : each.key}
                  </option>
                ))}
            </select>
          </label>
          {key === 'attr.' && (
            <label className="field">
              Name of the attribute
              <input value={name} onChange={(event) => setName(event.target.value)} />
            </label>
          )}
          {key === 'status' ? (
            <label className="field">
              Value
              <select value={value} onChange={(event) => setValue(event.target.value)}>
                <option value="">choose one</option>
                {['open', ...statuses].map((status) => (
                  <option key={status}>{status}</option>
                ))}
              </select>
            </label>
          ) : (
            <label className="field">
              Value
              <input
                value={value}
                list={key === 'workflow' ? 'known-workflows' : undefined}
                onChange={(event) => setValue(event.target.value)}
              />
            </label>
          )}
          <datalist id="known-workflows">
            {workflows.map((workflow) => (
              <option key={workflow} value={workflow} />
            ))}
          </datalist>
          <p className="muted small">{filterKeys.find((each) => each.key === key)?.means}</p>
          <div>
            <button type="submit" className="primary">
              Add
            </button>
          </div>
        </form>
      )}
    </Menu>
  )
}

function Saved({ text, onSearch }: { readonly text: string; readonly onSearch: (text: string) => void }) {
  const { saved, ready, keep, forget } = useSaved()
  const [name, setName] = useState('')
  return (
    <Menu label="Saved">
      {(close) => (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault()
            if (text === '' || name.trim() === '') return
            keep(name.trim(), text)
            setName('')
          }}
        >
          <ul className="plain-list" aria-label="Saved filters">
            {[...ready, ...saved].map((each) => (
              <li key={each.name} className="row">
                <button
                  type="button"
                  className="plain grow"
                  title={each.text}
                  onClick={() => {
                    close()
                    onSearch(each.text)
                  }}
                >
                  <span className="cut">{each.name}</span>
                </button>
                {!ready.includes(each) && (
                  <button
                    type="button"
                    className="plain"
                    aria-label={`Forget the filter ${each.name}`}
                    onClick={() => forget(each.name)}
                  >
                    ×
                  </button>
                )}
              </li>
            ))}
          </ul>
          <label className="field">
            Keep this filter as
            <input
              value={name}
              disabled={text === ''}
              placeholder={text === '' ? 'search for something first' : ''}
              onChange={(event) => setName(event.target.value)}
            />
          </label>
          <div>
            <button type="submit" disabled={text === '' || name.trim() === ''}>
              Keep
            </button>
          </div>
        </form>
      )}
    </Menu>
  )
}
