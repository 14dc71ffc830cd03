import { memo, type ReactNode } from 'react'
import { count, duration } from '../../../lib/format.ts'
import { useNow } from '../../../lib/now.ts'
import { Status } from '../../../parts/status.tsx'
import { KindIcon, kindWord } from '../kinds.tsx'
import type { Shown } from '../model/model.ts'
import type { GroupState } from '../model/scene.ts'

export const shownWord: Readonly<Record<Shown, string>> = {
  pending: 'pending',
  running: 'running',
  waiting: 'waiting',
  retrying: 'retrying',
  completed: 'completed',
  failed: 'failed',
  skipped: 'skipped',
  ghost: 'not yet',
}

/** What a box says. Texts of users are cut: a name may be as long as a book. */
export interface NodeData extends Record<string, unknown> {
  readonly id: string
  readonly key: string
  readonly name: string
  readonly kind: string
  readonly shown: Shown
  /** As `graph()` has it; null: it is a group. */
  readonly status: string | null
  readonly attempts: number
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly group: GroupState | null
  /** 'chain' or 'fan': how the members of a group stand to each other. */
  readonly folded: string | null
  readonly child: 'closed' | 'reading' | 'open' | null
  readonly selected: boolean
  readonly focusable: boolean
  readonly critical: boolean
  readonly width: number
  readonly height: number
  /** The moment that is shown; null: now. */
  readonly then: number | null
}

/** A step goes by its key: one of several of a name is told from the others. */
const titleOf = ({ group, name, key }: NodeData): string => cutName(group === null ? key : name)

export const maxName = 200
export const cutName = (name: string): string => (name.length > maxName ? `${name.slice(0, maxName - 1)}…` : name)

function Elapsed({ from }: { readonly from: number }) {
  const now = useNow()
  return <>{duration(Math.max(0, now - from))}</>
}

function Took({ startedAt, endedAt, shown, then }: NodeData): ReactNode {
  if (startedAt === null || shown === 'ghost') return null
  if (endedAt !== null) return duration(endedAt - startedAt)
  if (shown === 'skipped' || shown === 'pending') return null
  return then === null ? <Elapsed from={startedAt} /> : duration(Math.max(0, then - startedAt))
}

function labelOf(data: NodeData): string {
  const { kind, shown, attempts, group, startedAt, endedAt } = data
  if (group !== null) {
    const counts = group.counts.map(([each, n]) => `${count(n)} ${shownWord[each]}`).join(', ')
    return `${titleOf(data)}, group of ${count(group.total)}: ${counts}`
  }
  const took = startedAt !== null && endedAt !== null ? `, ${duration(endedAt - startedAt)}` : ''
  return `${titleOf(data)}, ${kindWord(kind)}, ${shownWord[shown]}${attempts > 1 ? `, attempt ${attempts}` : ''}${took}`
}

const same = (a: { data: NodeData }, b: { data: NodeData }) => a.data === b.data

/** A box of the graph. Clicks and keys are handled by the graph, for all boxes together. */
export const StepNode = memo(function StepNode({ data }: { data: NodeData }) {
  const { id, key, kind, shown, status, attempts, group, folded, child, selected, critical } = data
  const title = titleOf(data)
  const more = group !== null ? 'open' : child === 'closed' ? 'child' : null
  return (
    <div
      className={`node tone-${shown === 'ghost' ? 'pending' : shown}`}
      data-box={id}
      data-key={group === null ? key : undefined}
      data-status={status ?? undefined}
      data-shown={shown}
      data-group={group === null ? undefined : group.total}
      data-selected={selected || undefined}
      data-critical={critical || undefined}
      data-container={child === 'open' || child === 'reading' || undefined}
      style={{ width: data.width, height: data.height }}
    >
      <button
        type="button"
        className="face"
        tabIndex={data.focusable ? 0 : -1}
        aria-pressed={selected}
        aria-label={labelOf(data)}
        title={title}
        data-focus={id}
      >
        <span className="first">
          <KindIcon kind={group === null ? kind : 'group'} />
          <bdi className="name cut">{title}</bdi>
          {attempts > 1 && (
            <span className="badge" title={`${attempts} attempts`}>
              ×{attempts}
            </span>
          )}
          {group !== null && <span className="badge">{count(group.total)}</span>}
        </span>
        {group === null ? (
          kind !== 'start' && (
            <span className="second">
              <Status status={shown === 'ghost' ? 'pending' : shown} text={shownWord[shown]} />
              <span className="took">
                <Took {...data} />
              </span>
            </span>
          )
        ) : (
          <GroupBar group={group} />
        )}
      </button>
      {more !== null && (
        <button
          type="button"
          className="plain unfold"
          tabIndex={-1}
          data-open={id}
          aria-label={more === 'open' ? `Open the group ${title}` : `Show the child ${title} here`}
          title={
            more === 'open'
              ? `open: ${count(group!.total)} steps ${folded === 'chain' ? 'one after the other' : ''}`
              : 'show it here'
          }
        >
          +
        </button>
      )}
      {(child === 'open' || child === 'reading') && (
        <button type="button" className="plain unfold" tabIndex={-1} data-open={id} aria-label={`Close ${title}`}>
          −
        </button>
      )}
      {child === 'reading' && <span className="reading">reading…</span>}
    </div>
  )
}, same)

function GroupBar({ group: { counts, total } }: { readonly group: GroupState }) {
  return (
    <span className="group">
      <span className="bar" aria-hidden="true">
        {counts.map(([shown, n]) => (
          <i
            key={shown}
            className={`tone-${shown === 'ghost' ? 'pending' : shown}`}
            data-shown={shown}
            style={{ flexGrow: n / total }}
          />
        ))}
      </span>
      <span className="counts">
        {counts.slice(0, 2).map(([shown, n]) => (
          <Status key={shown} status={shown === 'ghost' ? 'pending' : shown} text={`${count(n)} ${shownWord[shown]}`} />
        ))}
        {counts.length > 2 && <span className="muted">+{counts.length - 2}</span>}
      </span>
    </span>
  )
}
