import { Link } from 'wouter'
import { runHref } from '../../lib/find-run.ts'
import { duration } from '../../lib/format.ts'
import { useNow } from '../../lib/now.ts'
import type { RunItem } from '../../lib/types.ts'
import { Time } from '../../parts/basics.tsx'
import { Status } from '../../parts/status.tsx'

export interface Choosing {
  readonly chosen: ReadonlySet<string>
  /** `range`: from the one that was chosen last. */
  choose(runId: string, range: boolean): void
  chooseAll(all: boolean): void
}

export function RunTable({
  rows,
  current,
  choosing,
  onCurrent,
}: {
  readonly rows: readonly RunItem[]
  /** The row that has the keys. */
  readonly current: string | null
  /** Null: nothing can be done with them. */
  readonly choosing: Choosing | null
  readonly onCurrent: (runId: string) => void
}) {
  const all = choosing !== null && rows.length > 0 && rows.every(({ runId }) => choosing.chosen.has(runId))
  return (
    <table className="runs" aria-label="Runs, newest first">
      <thead>
        <tr>
          {choosing !== null && (
            <th className="check">
              <input
                type="checkbox"
                aria-label="Choose all on this page"
                checked={all}
                onChange={() => choosing.chooseAll(!all)}
              />
            </th>
          )}
          <th>Status</th>
          <th>Id</th>
          <th>Workflow</th>
          <th>Started</th>
          <th className="number">Duration</th>
          <th>Queue</th>
          <th>Attributes</th>
          <th>Error</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((run, i) => (
          <Row
            key={run.runId}
            run={run}
            isCurrent={current === run.runId}
            isFirst={current === null && i === 0}
            choosing={choosing}
            onCurrent={onCurrent}
          />
        ))}
      </tbody>
    </table>
  )
}

function Row({
  run,
  isCurrent,
  isFirst,
  choosing,
  onCurrent,
}: {
  readonly run: RunItem
  readonly isCurrent: boolean
  readonly isFirst: boolean
  readonly choosing: Choosing | null
  readonly onCurrent: (runId: string) => void
}) {
  const isChosen = choosing?.chosen.has(run.runId) ?? false
  const attributes = Object.entries(run.attributes)
  return (
    <tr
      data-run={run.runId}
      aria-selected={choosing === null ? undefined : isChosen}
      tabIndex={isCurrent || isFirst ? 0 : -1}
      onFocus={(event) => event.target === event.currentTarget && onCurrent(run.runId)}
    >
      {choosing !== null && (
        <td className="check">
          <input
            type="checkbox"
            aria-label={`Choose ${run.id}`}
            checked={isChosen}
            onClick={(event) => choosing.choose(run.runId, event.shiftKey)}
            onChange={() => {}}
          />
        </td>
      )}
      <td>
        <Status status={run.status} />
      </td>
      <td className="id">
        <Link href={runHref(run.runId)} className="mono cut" title={`${run.id}\n${run.runId}`}>
          {run.id}
        </Link>
        {run.superseded === true && (
          <span className="muted small" title="a later run has its id">
            {' '}
            superseded
          </span>
        )}
      </td>
      <td className="workflow">
        <span className="cut" title={run.workflow}>
          <bdi>{run.workflow}</bdi>
          <span className="muted">@{run.version}</span>
        </span>
      </td>
      <td className="when">
        <Time at={run.createdAt} />
      </td>
      <td className="number">
        <Took run={run} />
      </td>
      <td className="queue">
        <span className="cut" title={run.queue}>
          {run.queue}
        </span>
      </td>
      <td className="attributes">
        <span className="cut mono" title={attributes.map(([key, value]) => `${key} = ${shown(value)}`).join('\n')}>
          {attributes.map(([key, value]) => `${key}=${shown(value)}`).join('  ')}
        </span>
      </td>
      <td className="error">
        {run.error !== undefined && (
          <span className="cut" title={`${run.error.name}: ${run.error.message}`}>
            {run.error.message === '' ? run.error.name : run.error.message}
          </span>
        )}
      </td>
    </tr>
  )
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

function Took({ run: { startedAt, closedAt } }: { readonly run: RunItem }) {
  if (startedAt === undefined) return <span className="muted">–</span>
  if (closedAt !== undefined) return <>{duration(Date.parse(closedAt) - Date.parse(startedAt))}</>
  return <SoFar since={startedAt} />
}

function SoFar({ since }: { readonly since: string }) {
  return <span className="muted">{duration(Math.max(0, useNow() - Date.parse(since)))}…</span>
}
