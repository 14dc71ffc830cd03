/**
 * The page of one run. What is selected, what is opened, the moment and the view are all in its address; the graph, the
 * timeline, the history and the inspector show the same.
 */
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { isClosed } from '../../../core/statuses.ts'
import { count } from '../../lib/format.ts'
import { usePlace } from '../../lib/place.ts'
import { useTitle } from '../../lib/title.ts'
import { Empty, Problem } from '../../parts/basics.tsx'
import { Actions, useMayOperate } from './actions/actions.tsx'
import { ForkDialog, type Forked, ForkedNote } from './actions/fork-dialog.tsx'
import { GraphView } from './graph/graph-view.tsx'
import { Header, Why } from './header.tsx'
import { History } from './history/history.tsx'
import { Inspector } from './inspector/inspector.tsx'
import { fold } from './model/fold.ts'
import { attributesAt, modelAt, type RunModel } from './model/model.ts'
import { type Run, useRun } from './model/run-data.ts'
import { childPath, type Opened } from './model/scene.ts'
import { type Selection, useSelection } from './selection.ts'
import { Slider, useMoment } from './slider.tsx'
import { Timeline } from './timeline/timeline.tsx'
import './run.css'

const views = [
  { view: 'split', title: 'Graph + timeline' },
  { view: 'graph', title: 'Graph' },
  { view: 'timeline', title: 'Timeline' },
  { view: 'history', title: 'History' },
] as const

export default function RunPage({ run }: { readonly run: string }) {
  const loading = useRun(run)
  const { data, model, error } = loading
  useTitle((data?.summary.id ?? run).slice(0, 80))
  if (data === null || model === null) {
    return (
      <div className="run-loading">
        {error !== null ? (
          <>
            <Problem error={error} />
            <Empty command="npx stet list">This run cannot be shown.</Empty>
          </>
        ) : (
          <p className="muted" role="status">
            reading the history… {loading.length > 0 && `${count(loading.loaded)} of ${count(loading.length)} events`}
            <progress value={loading.loaded} max={Math.max(1, loading.length)} aria-label="Events that were read" />
          </p>
        )}
      </div>
    )
  }
  return <Shown loading={loading} now={model} />
}

function Shown({ loading, now }: { readonly loading: Run; readonly now: RunModel }) {
  const { summary } = loading.data!
  const moment = useMoment(now.length)
  const { at } = moment
  const past = useMemo(() => (at === null ? null : modelAt(now, at)), [now, at])
  const view = past ?? now
  const then = at === null ? null : (now.events[at - 1]?.at ?? null)
  const selected = useSelection()
  const { selection, opened } = selected
  const { runs, children } = useChildren(summary.runId, now, view, then, opened)
  const attributes = useMemo(
    () => (at === null ? (summary.attributes ?? {}) : attributesAt(summary.attributes, now.events, at)),
    [summary, now, at],
  )
  const mayOperate = useMayOperate()
  const [fork, setFork] = useState<{ readonly from: string | number | null } | null>(null)
  const [made, setMade] = useState<Forked | null>(null)
  const onFork = useMemo(
    () => (mayOperate === true && at === null ? (from: string | number) => setFork({ from }) : null),
    [mayOperate, at],
  )
  const inspected = useMemo(
    () => inspectedOf(loading, view, runs, children, selection),
    [loading, view, runs, children, selection],
  )
  const executes = view.steps.some(({ shown, kind }) => shown === 'running' && kind !== 'child')
  const waitsFor = useMemo(
    () => [
      ...new Set(
        now.steps.filter(({ kind, shown }) => kind === 'signal' && shown === 'waiting').map(({ name }) => name),
      ),
    ],
    [now],
  )
  const attention = at === null && !isClosed(summary.status) && (!executes || summary.status === 'blocked')
  return (
    <div className="run" data-run={summary.runId} data-at={at ?? undefined}>
      <Header summary={summary} view={view} at={at} length={now.length} attributes={attributes}>
        <Actions
          summary={summary}
          mayOperate={mayOperate}
          past={at !== null}
          waitsFor={waitsFor}
          onFork={() => setFork({ from: selection.path === '' ? (selection.step ?? null) : null })}
        />
      </Header>
      {loading.error !== null && <Problem error={loading.error} />}
      {made !== null && <ForkedNote forked={made} onClose={() => setMade(null)} />}
      {attention && <Why summary={summary} count={now.length} />}
      <Slider events={now.events} length={now.length} moment={moment} />
      <div className="run-main">
        <Views
          graph={<GraphView runs={runs} selected={selected} then={then} />}
          timeline={<Timeline runs={runs} selected={selected} then={then} />}
          history={<History view={view} runId={summary.runId} selected={selected} />}
        />
        <aside className="panel inspector" aria-label="Inspector">
          <Inspector inspected={inspected} selected={selected} then={then} onFork={onFork} attributes={attributes} />
        </aside>
      </div>
      {fork !== null && (
        <ForkDialog
          summary={summary}
          model={now}
          from={fork.from}
          onMade={(forked) => setMade(forked)}
          onClose={() => setFork(null)}
        />
      )}
      {children.map(({ path, runId, onRun }) => (
        <Child key={path} runId={runId} onRun={onRun} />
      ))}
    </div>
  )
}

function Views({ graph, timeline, history }: Readonly<Record<'graph' | 'timeline' | 'history', ReactNode>>) {
  const place = usePlace()
  const given = views.find(({ view }) => view === place.get('view'))?.view
  const wide = useWide()
  const view = given ?? (wide ? 'split' : 'graph')
  const shown = view === 'split' && !wide ? 'graph' : view
  return (
    <section className="panel views">
      <div role="tablist" aria-label="Views" className="tabs">
        {views
          .filter((each) => wide || each.view !== 'split')
          .map((each) => (
            <button
              key={each.view}
              type="button"
              role="tab"
              aria-selected={shown === each.view}
              onClick={() => place.set({ view: each.view }, { replace: true })}
            >
              {each.title}
            </button>
          ))}
      </div>
      <div
        className="shown"
        data-view={shown}
        role="tabpanel"
        aria-label={views.find((each) => each.view === shown)!.title}
      >
        {(shown === 'graph' || shown === 'split') && <div className="pane">{graph}</div>}
        {(shown === 'timeline' || shown === 'split') && <div className="pane">{timeline}</div>}
        {shown === 'history' && <div className="pane">{history}</div>}
      </div>
    </section>
  )
}

const wideScreen = '(min-width: 1180px) and (min-height: 700px)'

function useWide(): boolean {
  const [wide, setWide] = useState(() => matchMedia(wideScreen).matches)
  useEffect(() => {
    const query = matchMedia(wideScreen)
    const changed = () => setWide(query.matches)
    query.addEventListener('change', changed)
    return () => query.removeEventListener('change', changed)
  }, [])
  return wide
}

// ── children that are shown in place ─────────────────────────────────────────────────────────────

interface OpenChild {
  readonly path: string
  readonly runId: string
  readonly run: Run | null
  readonly onRun: (run: Run) => void
}

/** The runs that are shown: this one and the children that are opened in it, as they are and as they were then. */
function useChildren(
  runId: string,
  now: RunModel,
  view: RunModel,
  then: number | null,
  opened: ReadonlySet<string>,
): { readonly runs: ReadonlyMap<string, Opened>; readonly children: readonly OpenChild[] } {
  const [known, setKnown] = useState<ReadonlyMap<string, Run>>(new Map())
  const onRun = useCallback((path: string, run: Run) => setKnown((before) => new Map(before).set(path, run)), [])
  return useMemo(() => {
    const runs = new Map<string, Opened>([['', { runId, now, view }]])
    const children: OpenChild[] = []
    for (const [path, { now: parent }] of runs) {
      if (parent === null || opened.size === 0) continue
      for (const { kind, key, child } of parent.steps) {
        if (kind !== 'child' || child === null) continue
        const inside = childPath(path, key)
        if (!opened.has(inside)) continue
        const run = known.get(inside) ?? null
        const model = run?.model ?? null
        const past = model === null || then === null ? model : modelAt(model, lengthAt(model, then))
        runs.set(inside, { runId: child.runId, now: model, view: past, error: run?.error })
        children.push({ path: inside, runId: child.runId, run, onRun: (each) => onRun(inside, each) })
      }
    }
    return { runs, children }
  }, [runId, now, view, then, opened, known, onRun])
}

/** How many events it had then. */
function lengthAt({ events }: RunModel, then: number): number {
  let n = events.length
  while (n > 0 && events[n - 1]!.at > then) n--
  return n
}

/** Reads a child, and follows it. */
function Child({ runId, onRun }: { readonly runId: string; readonly onRun: (run: Run) => void }) {
  const run = useRun(runId)
  const { data, model, error } = run
  const tell = useRef(() => {})
  tell.current = () => onRun(run)
  // Told when it has changed, not when the page is drawn anew.
  useEffect(() => tell.current(), [data, model, error])
  return null
}

function inspectedOf(
  { data }: Run,
  view: RunModel,
  runs: ReadonlyMap<string, Opened>,
  children: readonly OpenChild[],
  selection: Selection,
) {
  const own = { summary: data!.summary, view, group: groupMembers(runs.get('')!.now, view, selection) }
  if (selection.path === '') return own
  const child = children.find(({ path }) => path === selection.path)
  const summary = child?.run?.data?.summary
  const shown = runs.get(selection.path)
  if (summary === undefined || shown?.view == null) return { ...own, group: null }
  return { summary, view: shown.view, group: groupMembers(shown.now, shown.view, selection) }
}

/** Members of the group that is selected: as it is drawn, whatever is opened. */
function groupMembers(now: RunModel | null, view: RunModel, { group }: Selection): readonly number[] | null {
  if (group === undefined || now === null) return null
  // A part is there only while what it is part of is opened.
  const boxes = fold(now, new Set()).boxes
  const found = boxes.find(({ id }) => id === group)
  if (found !== undefined) return found.members
  const size = Number(/:(\d+)$/.exec(group)?.[1])
  const first = view.byKey.get(group.replace(/^part:/, '').replace(/:\w+$/, ''))
  if (first === undefined || !Number.isInteger(size)) return null
  const whole = boxes.find(({ members }) => members.includes(first.index))
  const from = whole?.members.indexOf(first.index) ?? -1
  return from < 0 ? null : whole!.members.slice(from, from + size)
}
