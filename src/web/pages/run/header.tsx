import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { isClosed } from '../../../core/statuses.ts'
import type { LimitTarget } from '../../../core/types.ts'
import { get, runPath } from '../../lib/api.ts'
import { runHref } from '../../lib/find-run.ts'
import { count, duration } from '../../lib/format.ts'
import { limitHref, nameOf } from '../../lib/limits.ts'
import { useNow } from '../../lib/now.ts'
import type { Reason, RunItem, RunPage } from '../../lib/types.ts'
import { Copyable, Time } from '../../parts/basics.tsx'
import { Status } from '../../parts/status.tsx'
import { cutName } from './graph/node.tsx'
import { JsonTree } from './inspector/json-tree.tsx'
import type { RunModel } from './model/model.ts'
import type { Summary } from './model/run-data.ts'

export interface HeaderProps {
  readonly summary: Summary
  readonly view: RunModel | null
  /** After which event it is shown; null: as it is. */
  readonly at: number | null
  readonly length: number
  readonly attributes: Readonly<Record<string, unknown>>
  readonly children: ReactNode
}

export function Header({ summary, view, at, length, attributes, children }: HeaderProps) {
  const { id, runId, workflow, version, queue, parent, forkedFrom } = summary
  const status = at === null || view === null ? summary.status : view.status
  const shown = Object.entries(attributes).slice(0, 8)
  return (
    <header className="run-header">
      <div className="row first">
        <Status status={status} />
        <h1 className="cut" title={cutName(id)}>
          <bdi>{cutName(id)}</bdi>
        </h1>
        <Link href={`/runs?workflow=${encodeURIComponent(workflow)}`} className="workflow cut">
          <bdi>{cutName(workflow)}</bdi>@{version}
        </Link>
        <span className="took" data-took>
          <Took summary={summary} view={view} at={at} />
        </span>
        {at !== null && (
          <b className="past" role="status">
            as it was after event {count(at)} of {count(length)}
          </b>
        )}
        <span className="actions">{children}</span>
      </div>
      <div className="row facts-line">
        <Copyable text={runId} label={`Copy the run id ${runId}`} />
        <span>
          started <Time at={summary.createdAt} />
        </span>
        <span className="cut">
          queue <bdi>{cutName(queue)}</bdi>
        </span>
        {summary.deadline !== null && at === null && !isClosed(status) && (
          <span>
            must end by <Time at={summary.deadline} />
          </span>
        )}
        {parent !== null && (
          <span className="cut">
            child of <RunLink id={parent.id} runId={parent.runId} />
          </span>
        )}
        {forkedFrom !== null && (
          <span className="cut">
            forked from <RunLink id={forkedFrom.runId} runId={forkedFrom.runId} /> at event {forkedFrom.seq}
          </span>
        )}
        <Relatives runId={runId} view={view} />
        {shown.map(([key, value]) => (
          <span key={key} className="attribute cut" title={`${key.slice(0, 100)}: ${String(value).slice(0, 300)}`}>
            <bdi>{key.slice(0, 60)}</bdi>{' '}
            <b>
              <bdi>{textOf(value)}</bdi>
            </b>
          </span>
        ))}
      </div>
    </header>
  )
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 80)

function RunLink({ id, runId }: { readonly id: string; readonly runId: string }) {
  return (
    <Link href={runHref(runId)}>
      <bdi>{cutName(id)}</bdi>
    </Link>
  )
}

function Took({
  summary,
  view,
  at,
}: {
  readonly summary: Summary
  readonly view: RunModel | null
  readonly at: number | null
}) {
  if (at !== null && view !== null) {
    const last = view.events[at - 1]
    return <>{duration(last === undefined || view.startedAt === null ? 0 : last.at - view.startedAt)} in</>
  }
  const began = Date.parse(summary.startedAt ?? summary.createdAt)
  if (summary.closedAt !== null) return <>took {duration(Date.parse(summary.closedAt) - began)}</>
  return summary.startedAt === null ? <>not begun</> : <Ticking began={began} />
}

function Ticking({ began }: { readonly began: number }) {
  const now = useNow()
  return <>for {duration(Math.max(0, now - began))}</>
}

/** Children and forks: how many, and the newest of them. */
function Relatives({ runId, view }: { readonly runId: string; readonly view: RunModel | null }) {
  const children = view?.steps.filter(({ child, shown }) => child !== null && shown !== 'ghost').length ?? 0
  const forks = useQuery({
    queryKey: ['forks', runId],
    queryFn: ({ signal }) => get<RunPage>(runPath(runId, '/forks'), { limit: 5 }, signal),
    // How a fork gets on is not told on this run's line.
    refetchInterval: (query) => (query.state.data?.runs.some(({ status }) => !isClosed(status)) ? 2_000 : 30_000),
  })
  const found = forks.data?.runs ?? []
  return (
    <>
      {children > 0 && (
        <span>
          {count(children)} {children === 1 ? 'child' : 'children'}
        </span>
      )}
      {found.length > 0 && (
        <span className="forks">
          {found.length === 1 ? 'fork' : 'forks'}
          {found.map((fork) => (
            <Fork key={fork.runId} fork={fork} />
          ))}
          {forks.data?.next !== undefined && <span>…</span>}
        </span>
      )}
    </>
  )
}

function Fork({ fork }: { readonly fork: RunItem }) {
  return (
    <span className="row fork" data-fork={fork.runId}>
      <RunLink id={fork.runId} runId={fork.runId} />
      <Status status={fork.status} />
    </span>
  )
}

/** The limits that hold a run back. */
function limitsIn({ code, evidence }: Reason): LimitTarget[] {
  if (code !== 'limited') return []
  const { limits = [] } = evidence as { limits?: { scope: string; name: string; key: string | null }[] }
  return limits.map(({ scope, name, key }) => ({
    ...(scope === 'queue' ? { queue: name } : { workflow: name }),
    ...(key === null ? {} : { key }),
  }))
}

/** Why a run that is open and executes nothing is where it is. */
export function Why({ summary, count: events }: { readonly summary: Summary; readonly count: number }) {
  const { runId, status, problem } = summary
  // Of a long history the question costs something: not at each event.
  const key = events < 2_000 ? events : status
  const why = useQuery({
    queryKey: ['why', runId, status, key],
    queryFn: ({ signal }) => get<Reason>(runPath(runId, '/why'), {}, signal),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  })
  const reason = why.data
  if (reason === undefined) return null
  const blocked = status === 'blocked'
  const mismatch = (problem as { mismatch?: { seq: number; expected: string; actual: string } } | null)?.mismatch
  return (
    <div className="why" data-why={reason.code} data-blocked={blocked || undefined} role={blocked ? 'alert' : 'status'}>
      <details>
        <summary>
          <b>{blocked ? 'Blocked' : 'Why it is here'}</b>{' '}
          <bdi>{reason.message.replace(/^blocked: /, '').slice(0, 1_000)}</bdi>
        </summary>
        <JsonTree value={reason.evidence} />
      </details>
      {limitsIn(reason).map((target) => (
        <p key={nameOf(target)}>
          <Link href={limitHref(target)}>
            See the limit of <bdi>{nameOf(target)}</bdi>
          </Link>
        </p>
      ))}
      {mismatch !== undefined && (
        <dl className="mismatch">
          <div>
            <dt>history, event {mismatch.seq}</dt>
            <dd>
              <bdi>{mismatch.expected.slice(0, 500)}</bdi>
            </dd>
          </div>
          <div>
            <dt>code</dt>
            <dd>
              <bdi>{mismatch.actual.slice(0, 500)}</bdi>
            </dd>
          </div>
        </dl>
      )}
    </div>
  )
}
