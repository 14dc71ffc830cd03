/** Runs, newest first: searched, watched, and dealt with in numbers. */
import { useEffect, useMemo, useRef, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { statuses, sumOf, useCounts } from '../../lib/counts.ts'
import {
  type Filter,
  FilterError,
  filterOf,
  idIn,
  keyList,
  type Part,
  partsOf,
  textOf,
  withPart,
} from '../../lib/filter.ts'
import { findRun, runHref } from '../../lib/find-run.ts'
import { count } from '../../lib/format.ts'
import { useKeys } from '../../lib/keys.ts'
import { usePlace } from '../../lib/place.ts'
import { useMay } from '../../lib/session.ts'
import { useWorkflows } from '../../lib/workflows.ts'
import { Empty, Problem } from '../../parts/basics.tsx'
import { StatusIcon } from '../../parts/status.tsx'
import { type BulkAction, bulkActions, type Target } from './bulk.ts'
import { BulkDialog } from './bulk-dialog.tsx'
import { RunTable } from './run-table.tsx'
import './runs.css'
import { Search, searchId } from './search.tsx'
import { useRuns } from './use-runs.ts'

const sizes = [50, 100, 200] as const
/** Pages that can be gone back through; the first is always there. */
const maxTrail = 20

interface Wanted {
  readonly parts: readonly Part[]
  /** Null: the text cannot be used. */
  readonly filter: Filter | null
}

function wantedOf(text: string): Wanted {
  try {
    const parts = partsOf(text)
    return { parts, filter: filterOf(parts) }
  } catch (error) {
    if (error instanceof FilterError) return { parts: [], filter: null }
    throw error
  }
}

export default function RunsPage() {
  const place = usePlace()
  const [, go] = useLocation()
  const text = place.get('q') ?? ''
  const { parts, filter } = useMemo(() => wantedOf(text), [text])
  const [found, setFound] = useState<string | null>(null)
  const workflows = useWorkflows()
  const search = async (wanted: string) => {
    setFound(null)
    const id = idOf(wanted)
    if (id === null) {
      place.set({ q: wanted, after: null })
      return
    }
    try {
      const run = await findRun(id)
      if (run !== null) go(runHref(run.runId))
      else setFound(`No run has the id or run id "${id}". What can be searched for: ${keyList}.`)
    } catch (error) {
      setFound((error as Error).message)
    }
  }
  return (
    <div className="runs-page stack">
      <div className="row">
        <h1 className="grow">Runs</h1>
        <Link href="/bulks">Bulks</Link>
      </div>
      <Tabs parts={parts} onSearch={search} />
      <Search text={text} found={found} workflows={workflows.map(({ name }) => name)} onSearch={search} />
      {filter !== null && <List key={text} text={text} filter={filter} />}
    </div>
  )
}

function idOf(text: string): string | null {
  try {
    return idIn(partsOf(text))
  } catch {
    return null
  }
}

/** Each status with its number of runs; a press searches for it, another takes it out again. */
function Tabs({ parts, onSearch }: { readonly parts: readonly Part[]; readonly onSearch: (text: string) => void }) {
  const counts = useCounts()
  const wanted = parts.find(({ key }) => key === 'status')?.value ?? ''
  const tab = (value: string, label: React.ReactNode, n: string | undefined, few: boolean) => (
    <button
      key={value}
      type="button"
      className="plain"
      aria-pressed={wanted === value}
      data-empty={few}
      onClick={() => onSearch(textOf(withPart(parts, { key: 'status', value: wanted === value ? '' : value })))}
    >
      {label} <span className="muted">{n ?? ''}</span>
    </button>
  )
  return (
    <fieldset className="row tabs" aria-label="Runs by status, of all there are">
      {tab('', 'all', counts && sumOf(counts, statuses).text, false)}
      {tab('open', 'open', counts && sumOf(counts, statuses.slice(0, 5)).text, false)}
      {statuses.map((status) => {
        const sum = counts && sumOf(counts, [status])
        const label = (
          <span className={`tone-${status} tab-status`}>
            <StatusIcon status={status} />
            {status}
          </span>
        )
        return tab(status, label, sum?.text, sum?.n === 0)
      })}
    </fieldset>
  )
}

function List({ text, filter }: { readonly text: string; readonly filter: Filter }) {
  const place = usePlace()
  const [, go] = useLocation()
  const may = useMay('operate')
  const mayDelete = useMay('admin')
  const trail = place.all('after')
  const after = trail.at(-1) ?? null
  const wantedSize = Number(place.get('size'))
  const size = sizes.find((each) => each === wantedSize) ?? sizes[0]
  const list = useRef<HTMLElement>(null)
  const [hovered, setHovered] = useState(false)
  const [focused, setFocused] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const [all, setAll] = useState(false)
  const [last, setLast] = useState<string | null>(null)
  const [current, setCurrent] = useState<string | null>(null)
  const [bulk, setBulk] = useState<{ readonly action: BulkAction; readonly target: Target; what: string } | null>(null)
  const held = hovered || focused || scrolled || chosen.size > 0 || bulk !== null
  const { rows, next, bounded, error, waiting, reading, letIn } = useRuns({ filter, after, size, held })

  useEffect(() => {
    const page = list.current?.closest('.page')
    const onScroll = () => setScrolled((page?.scrollTop ?? 0) > 8)
    page?.addEventListener('scroll', onScroll, { passive: true })
    return () => page?.removeEventListener('scroll', onScroll)
  }, [])
  useEffect(() => {
    setChosen(new Set())
    setAll(false)
    setCurrent(null)
  }, [after])

  const choose = (runId: string, range: boolean) => {
    setAll(false)
    const ids = rows?.map((row) => row.runId) ?? []
    const [a, b] = [ids.indexOf(last ?? ''), ids.indexOf(runId)]
    const on = !chosen.has(runId)
    const those = range && a >= 0 ? ids.slice(Math.min(a, b), Math.max(a, b) + 1) : [runId]
    const rest = [...chosen].filter((each) => !those.includes(each))
    setChosen(new Set(on ? [...rest, ...those] : rest))
    setLast(runId)
  }
  const step = (by: number) => (event: KeyboardEvent) => {
    if (rows === undefined || rows.length === 0) return
    // Arrows scroll unless one is at the rows.
    if (event.key.startsWith('Arrow') && !(document.activeElement instanceof HTMLTableRowElement)) return
    event.preventDefault()
    const at = rows.findIndex(({ runId }) => runId === current)
    const to = rows[at === -1 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))]!
    setCurrent(to.runId)
    list.current?.querySelector<HTMLElement>(`[data-run="${CSS.escape(to.runId)}"]`)?.focus()
  }
  const atRow = (act: (runId: string) => void) => (event: KeyboardEvent) => {
    const runId = (document.activeElement as HTMLElement | null)?.dataset.run
    if (runId === undefined) return
    event.preventDefault()
    act(runId)
  }
  const older = () => next !== undefined && place.set({ after: [...trail, next].slice(-maxTrail) })
  const newer = () => place.set({ after: trail.slice(0, -1) })
  useKeys({
    j: step(1),
    ArrowDown: step(1),
    k: step(-1),
    ArrowUp: step(-1),
    Enter: atRow((runId) => go(runHref(runId))),
    x: atRow((runId) => may && choose(runId, false)),
    n: () => older(),
    p: () => trail.length > 0 && newer(),
    '/': (event) => {
      event.preventDefault()
      document.getElementById(searchId)?.focus()
    },
  })
  const isFiltered = Object.keys(filter).length > 0
  const ask = (action: BulkAction) =>
    setBulk(
      all
        ? { action, target: { filter }, what: `all runs that match ${text}` }
        : {
            action,
            target: { runs: [...chosen] },
            what: `${count(chosen.size)} chosen ${chosen.size === 1 ? 'run' : 'runs'}`,
          },
    )

  return (
    <section ref={list} className="stack" aria-label="Runs that were found" aria-busy={reading || rows === undefined}>
      {may && chosen.size > 0 && (
        <div className="row chosen" role="toolbar" aria-label="What to do with the runs">
          <b>{all ? 'All that match' : `${count(chosen.size)} chosen`}</b>
          {isFiltered && !all && (
            <button type="button" className="plain" onClick={() => setAll(true)}>
              Choose all that match
            </button>
          )}
          {bulkActions
            .filter((action) => action !== 'delete' || mayDelete)
            .map((action) => (
              <button
                key={action}
                type="button"
                className={action === 'terminate' || action === 'delete' ? 'danger' : undefined}
                onClick={() => ask(action)}
              >
                {action[0]!.toUpperCase() + action.slice(1)}…
              </button>
            ))}
          <button
            type="button"
            className="plain"
            onClick={() => {
              setChosen(new Set())
              setAll(false)
            }}
          >
            Clear
          </button>
        </div>
      )}
      <div className="news" aria-live="polite">
        {waiting > 0 && (
          <button type="button" onClick={letIn}>
            ↑ {count(waiting)} new {waiting === 1 ? 'run' : 'runs'}
          </button>
        )}
      </div>
      {error !== null && rows === undefined && <Problem error={error} />}
      {rows !== undefined && rows.length === 0 && !bounded && (
        <Empty command={isFiltered ? 'stet list --json' : 'stet dev'}>
          {isFiltered
            ? 'No run matches.'
            : 'There are no runs yet. This starts a worker for the workflows of your project, and shows how to start a run:'}
        </Empty>
      )}
      {rows !== undefined && rows.length > 0 && (
        // biome-ignore lint/a11y/noStaticElementInteractions: only notes that somebody is here
        <div
          className="panel scroll"
          onPointerEnter={() => setHovered(true)}
          onPointerLeave={() => setHovered(false)}
          onFocus={() => setFocused(true)}
          onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && setFocused(false)}
        >
          <RunTable
            rows={rows}
            current={current}
            choosing={
              may
                ? {
                    chosen,
                    choose,
                    chooseAll: (on) => {
                      setAll(false)
                      setChosen(new Set(on ? rows.map(({ runId }) => runId) : []))
                    },
                  }
                : null
            }
            onCurrent={setCurrent}
          />
        </div>
      )}
      {rows !== undefined && (rows.length > 0 || bounded || trail.length > 0) && (
        <nav className="row" aria-label="Pages of runs">
          <button type="button" disabled={trail.length === 0} onClick={newer}>
            ← Newer
          </button>
          <button type="button" disabled={next === undefined} onClick={older}>
            {bounded ? 'Search further back →' : 'Older →'}
          </button>
          {bounded && (
            <span className="muted" role="status">
              This search has looked at only so many runs: there may be more that match.
            </span>
          )}
          <label className="row muted size">
            runs a page
            <select
              value={size}
              onChange={(event) =>
                place.set({ size: event.target.value === '50' ? null : event.target.value, after: null })
              }
            >
              {sizes.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        </nav>
      )}
      {bulk !== null && (
        <BulkDialog
          action={bulk.action}
          target={bulk.target}
          what={bulk.what}
          onClose={(acted) => {
            setBulk(null)
            if (!acted) return
            setChosen(new Set())
            setAll(false)
          }}
        />
      )}
    </section>
  )
}
