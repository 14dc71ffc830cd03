/** What is known of what is selected: the run, a step, a group of steps, an event. */
import { useVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useMemo, useRef, useState } from 'react'
import { Link } from 'wouter'
import { count, duration, exactTime } from '../../../lib/format.ts'
import { useNow } from '../../../lib/now.ts'
import type { EventJson } from '../../../lib/types.ts'
import { Copyable, Time } from '../../../parts/basics.tsx'
import { Status } from '../../../parts/status.tsx'
import { cutName, shownWord } from '../graph/node.tsx'
import { KindIcon, kindWord } from '../kinds.tsx'
import { marks, payloadOf } from '../model/events.ts'
import { attemptsOf, type RunModel, type Step, segmentsOf, timesOf } from '../model/model.ts'
import type { Summary } from '../model/run-data.ts'
import { worstFirst } from '../model/scene.ts'
import type { Selected } from '../selection.ts'
import { JsonTree } from './json-tree.tsx'
import { CopyValue, Payload } from './payload.tsx'
import './inspector.css'

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

export function Inspector(props: InspectorProps) {
  const { inspected, selected } = props
  const { selection } = selected
  const { view, group } = inspected
  const event = selection.event === undefined ? undefined : view.events[selection.event - 1]?.json
  const step = selection.step === undefined ? undefined : view.byKey.get(selection.step)
  if (event !== undefined) return <EventPart {...props} event={event} />
  if (step !== undefined) return <StepPart {...props} step={step} />
  if (group !== null) return <GroupPart {...props} members={group} />
  return <RunPart {...props} />
}

function Frame({
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

function Facts({ facts }: { readonly facts: readonly (readonly [string, ReactNode] | null | false)[] }) {
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

function RunPart({ inspected: { summary, view }, attributes, then }: InspectorProps) {
  const [first] = view.events
  const last = view.length > 0 ? view.events[view.length - 1]?.json : undefined
  const ended = view.closed && last !== undefined ? last : undefined
  return (
    <Frame title={<bdi>{cutName(summary.id)}</bdi>} kind="run">
      {first !== undefined && <Payload title="Input" runId={summary.runId} event={first.json} />}
      {ended !== undefined && (
        <Payload
          title={ended.type === 'RunContinued' ? 'Input of the next run' : 'Output'}
          runId={summary.runId}
          event={ended}
        />
      )}
      {Object.keys(attributes).length > 0 && (
        <section className="payload" aria-label="Attributes">
          <header>
            <h3>Search attributes</h3>
            <CopyValue value={attributes} />
          </header>
          <JsonTree value={attributes} />
        </section>
      )}
      <Facts
        facts={[
          ['steps', count(view.steps.filter(({ shown }) => shown !== 'ghost').length)],
          ['events', count(view.length)],
          then === null && [
            'worker',
            summary.worker === null ? 'none holds it' : <code key="w">{summary.worker}</code>,
          ],
          summary.deadline !== null && ['deadline', <Time key="d" at={summary.deadline} />],
          then === null && summary.due !== null && ['due', <Time key="due" at={summary.due} />],
          ['priority', summary.priority],
        ]}
      />
      <section className="payload">
        <h3>Look into it</h3>
        <Command text={`npx stet replay ${shell(summary.runId)}`} />
        <Command text={`npx stet why ${shell(summary.runId)}`} />
        <Command text={`npx stet export ${shell(summary.runId)} > ${summary.runId}.json`} />
      </section>
    </Frame>
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

function StepPart({
  inspected: { summary, view },
  selected,
  step,
  then,
  onFork,
}: InspectorProps & { readonly step: Step }) {
  const open = step.endedAt === null && step.startedAt !== null && !view.closed
  const { runId } = summary
  const { path } = selected.selection
  const own = step.events.filter((i) => i < view.length).map((i) => view.events[i]!.json)
  const ends = own.filter(({ type }) => payloadOf(type) !== null && type !== 'AttemptFailed')
  const failed = own.filter(({ type }) => type === 'AttemptFailed').at(-1)
  const last = ends.at(-1)
  const set = last?.data?.set === true
  const isStep = step.kind === 'step' || step.kind === 'transaction'
  const to = (key: string) => () => selected.select({ path, step: key })
  return (
    <Frame
      kind={
        <>
          <KindIcon kind={step.kind} /> {kindWord(step.kind)}, operation {step.op}
        </>
      }
      title={<bdi>{cutName(step.key)}</bdi>}
      onClose={() => selected.select(null)}
    >
      <div className="row">
        <Status status={step.shown === 'ghost' ? 'pending' : step.shown} text={shownWord[step.shown]} />
        {set && <span className="badge">result given by a fork</span>}
        {path === '' && onFork !== null && step.shown !== 'ghost' && (
          <button type="button" className="small" onClick={() => onFork(step.key)}>
            Rerun from here…
          </button>
        )}
      </div>
      {open ? (
        <Times step={step} view={view} then={then} />
      ) : (
        <TimesAt step={step} view={view} now={then ?? Date.now()} />
      )}
      {last !== undefined && (
        <Payload
          key={last.seq}
          title={last.type === 'SignalReceived' ? 'Message' : last.type === 'UpdateReceived' ? 'Argument' : 'Output'}
          runId={runId}
          event={last}
        />
      )}
      {last === undefined && failed !== undefined && (
        <Payload key={failed.seq} title="Error" runId={runId} event={failed} />
      )}
      {step.child !== null && (
        <p>
          child run{' '}
          <Link href={`/runs/${encodeURIComponent(step.child.runId)}`}>
            <bdi>{cutName(step.child.id)}</bdi>
          </Link>
        </p>
      )}
      {isStep && <Attempts step={step} view={view} then={then} selected={selected} />}
      <Facts
        facts={[
          step.where !== null && [
            'asked for at',
            <Copyable key="where" text={step.where} label={`Copy ${step.where}`} />,
          ],
          isStep && ['idempotency key', <Copyable key="key" text={`${runId}:${step.op}`} />],
          step.dueAt !== null && open && ['due', <Time key="due" at={step.dueAt} />],
          step.name !== step.key && ['name', <bdi key="name">{cutName(step.name)}</bdi>],
          ['came after', <Keys key="after" keys={afterOf(step, view)} to={to} />],
        ]}
      />
      {isStep && step.shown !== 'ghost' && (
        <section className="payload">
          <h3>Look into it</h3>
          <Command text={`npx stet replay ${shell(runId)} --at ${shell(step.key)}`} />
          <Command text={`npx stet replay ${shell(runId)} --inspect --break ${shell(`step:${step.key}`)}`} />
        </section>
      )}
      <section className="payload">
        <h3>Events</h3>
        <div className="event-links">
          {own.slice(0, 100).map(({ seq, type }) => (
            <button
              key={seq}
              type="button"
              className="plain small"
              onClick={() => selected.select({ path, step: step.key, event: seq })}
            >
              {seq} {type}
            </button>
          ))}
          {own.length === 0 && <span className="muted">no event mentions it yet</span>}
        </div>
      </section>
    </Frame>
  )
}

function afterOf(step: Step, { steps }: RunModel): string[] {
  return step.after
    .slice(0, 12)
    .map((index) => (index < 0 ? 'start' : steps[index]!.key))
    .concat(step.after.length > 12 ? ['…'] : [])
}

function Keys({ keys, to }: { readonly keys: readonly string[]; readonly to: (key: string) => () => void }) {
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

function Times(props: { readonly step: Step; readonly view: RunModel; readonly then: number | null }) {
  const now = useNow()
  return <TimesAt {...props} now={props.then ?? now} />
}

function TimesAt({ step, view, now }: { readonly step: Step; readonly view: RunModel; readonly now: number }) {
  const segments = segmentsOf(step, view, now)
  if (segments.length === 0) return null
  const sums = timesOf(segments)
  const [from, to] = [segments[0]!.from, segments.at(-1)!.to]
  return (
    <Facts
      facts={[
        step.startedAt !== null && ['began', <Time key="b" at={step.startedAt} />],
        sums.queued > 0 && ['queued', duration(sums.queued)],
        sums.executing + sums.failed > 0 && [
          step.kind === 'child' ? 'child ran' : 'executing',
          duration(sums.executing + sums.failed),
        ],
        sums['retry wait'] > 0 && ['between attempts', duration(sums['retry wait'])],
        sums.waiting > 0 && ['waiting', duration(sums.waiting)],
        ['in all', duration(to - from)],
      ]}
    />
  )
}

function Attempts({
  step,
  view,
  then,
  selected,
}: {
  readonly step: Step
  readonly view: RunModel
  readonly then: number | null
  readonly selected: Selected
}) {
  const now = useNow()
  const attempts = attemptsOf(step, view.events, then ?? now)
  const { path } = selected.selection
  if (attempts.length === 0) return null
  return (
    <section className="payload" aria-label="Attempts">
      <h3>Attempts</h3>
      <table className="attempts">
        <thead>
          <tr>
            <th className="number">n</th>
            <th>outcome</th>
            <th className="number">took</th>
            <th>then</th>
          </tr>
        </thead>
        <tbody>
          {attempts.slice(-50).map(({ n, startedAt, endedAt, outcome, seq, nextAt }, i, shown) => {
            const error =
              seq === null
                ? undefined
                : (view.events[seq - 1]?.json.data?.error as { name?: string; message?: string } | undefined)
            const next = shown[i + 1]?.startedAt ?? nextAt
            return (
              <tr key={n}>
                <td className="number">{n}</td>
                <td>
                  <Status status={outcome} />
                  {error !== undefined && (
                    <button
                      type="button"
                      className="plain small cut attempt-error"
                      onClick={() => selected.select({ path, step: step.key, ...(seq === null ? {} : { event: seq }) })}
                    >
                      <bdi>{`${error.name}: ${error.message}`.slice(0, 200)}</bdi>
                    </button>
                  )}
                </td>
                <td className="number">{duration((endedAt ?? then ?? now) - startedAt)}</td>
                <td className="muted">
                  {endedAt !== null && next !== null && next !== undefined
                    ? `${duration(next - endedAt)} until the next`
                    : ''}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </section>
  )
}

function GroupPart({
  inspected: { view },
  selected,
  members,
}: InspectorProps & { readonly members: readonly number[] }) {
  const [filter, setFilter] = useState('')
  const { path } = selected.selection
  const found = useMemo(() => {
    const wanted = filter.toLowerCase()
    const rank = new Map(worstFirst.map((shown, i) => [shown, i]))
    return members
      .map((index) => view.steps[index]!)
      .filter(
        ({ key, shown }) => wanted === '' || key.toLowerCase().includes(wanted) || shownWord[shown].includes(wanted),
      )
      .sort((a, b) => rank.get(a.shown)! - rank.get(b.shown)! || a.index - b.index)
  }, [members, view, filter])
  const scroll = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => 30,
    overscan: 8,
  })
  return (
    <Frame kind="group of steps" title={`${count(members.length)} steps`} onClose={() => selected.select(null)}>
      <input
        type="search"
        placeholder="key or status"
        aria-label="Filter the steps"
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      <div className="group-list" ref={scroll}>
        <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {rows.getVirtualItems().map(({ index, start, size }) => {
            const step = found[index]!
            return (
              <button
                key={step.key}
                type="button"
                className="plain group-row"
                style={{ transform: `translateY(${start}px)`, height: size }}
                onClick={() => selected.select({ path, step: step.key })}
              >
                <bdi className="cut grow">{cutName(step.key)}</bdi>
                <Status status={step.shown === 'ghost' ? 'pending' : step.shown} text={shownWord[step.shown]} />
              </button>
            )
          })}
        </div>
      </div>
    </Frame>
  )
}

function EventPart({
  inspected: { summary, view },
  selected,
  event,
  onFork,
}: InspectorProps & { readonly event: EventJson }) {
  const { path } = selected.selection
  const { seq, type, at, op, name, data } = event
  const field = payloadOf(type)
  const facts = Object.fromEntries(Object.entries(data ?? {}).filter(([key]) => key !== field))
  const step = op === undefined ? undefined : view.byOp.get(op)
  const go = (next: number) => selected.select({ path, event: next })
  return (
    <Frame
      kind={`event ${count(seq)} of ${count(view.length)}`}
      title={type}
      onClose={() => selected.select(step === undefined ? null : { path, step: step.key })}
    >
      <div className="row">
        <button type="button" className="small" disabled={seq <= 1} onClick={() => go(seq - 1)}>
          ← {seq - 1}
        </button>
        <button type="button" className="small" disabled={seq >= view.length} onClick={() => go(seq + 1)}>
          {seq + 1} →
        </button>
        {path === '' && onFork !== null && !marks.has(type) && seq > 1 && (
          <button type="button" className="small" onClick={() => onFork(seq)}>
            Rerun from here…
          </button>
        )}
      </div>
      <Facts
        facts={[
          ['at', exactTime(at)],
          step !== undefined && [
            'step',
            <Keys key="step" keys={[step.key]} to={(key) => () => selected.select({ path, step: key })} />,
          ],
          name !== undefined && step?.name !== name && ['name', <bdi key="name">{cutName(name)}</bdi>],
        ]}
      />
      <Payload
        key={seq}
        title={(field ?? 'Payload').replace(/^./, (letter) => letter.toUpperCase())}
        runId={summary.runId}
        event={event}
      />
      {Object.keys(facts).length > 0 && (
        <section className="payload" aria-label="Facts">
          <header>
            <h3>Facts</h3>
            <CopyValue value={event} />
          </header>
          <JsonTree value={facts} />
        </section>
      )}
    </Frame>
  )
}
