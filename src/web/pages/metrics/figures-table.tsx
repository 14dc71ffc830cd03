import type { ReactNode } from 'react'
import { count, duration, percent } from '../../lib/format.ts'
import type { Figures, Row } from './figures.ts'

export interface Sorting {
  readonly by: string
  readonly down: boolean
}

interface Column {
  readonly key: keyof Figures
  readonly title: string
  readonly means: string
  readonly show: (value: number) => string
  /** More is worse: said of a change, beside its sign. */
  readonly worse: boolean | null
  readonly bar?: boolean
  readonly stepsOnly?: boolean
}

const columns: readonly Column[] = [
  { key: 'p50', title: 'P50', means: 'half of them took no longer', show: duration, worse: true },
  { key: 'p95', title: 'P95', means: '95 of 100 took no longer', show: duration, worse: true, bar: true },
  { key: 'p99', title: 'P99', means: '99 of 100 took no longer', show: duration, worse: true },
  { key: 'delay', title: 'Delay P95', means: 'ready, before it began', show: duration, worse: true },
  { key: 'perMinute', title: 'Per min', means: 'a minute of the window', show: rate, worse: null, bar: true },
  { key: 'count', title: 'Count', means: 'attempts of a step, runs that were closed', show: count, worse: null },
  {
    key: 'retryRate',
    title: 'Retried',
    means: 'attempts that were followed by another',
    show: percent,
    worse: true,
    stepsOnly: true,
  },
  {
    key: 'failureRate',
    title: 'Failed',
    means: 'for good, among those that ended',
    show: percent,
    worse: true,
    bar: true,
  },
]

function rate(value: number): string {
  return value === 0 ? '0' : value < 0.01 ? '<0.01' : value < 10 ? value.toFixed(2) : count(Math.round(value))
}

export function sorted(rows: readonly Row[], { by, down }: Sorting): Row[] {
  const text = (row: Row) =>
    by === 'step' ? `${row.step ?? ''}\n${row.workflow}` : `${row.workflow}\n${row.step ?? ''}`
  const compare =
    by === 'workflow' || by === 'step'
      ? (a: Row, b: Row) => text(a).localeCompare(text(b)) || (a.version ?? 0) - (b.version ?? 0)
      : by === 'version'
        ? (a: Row, b: Row) => (a.version ?? 0) - (b.version ?? 0)
        : // What is not known stands at the end of what is large.
          (a: Row, b: Row) => (a[by as keyof Figures] ?? -1) - (b[by as keyof Figures] ?? -1)
  return [...rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)))
}

export function FiguresTable({
  rows,
  of,
  byVersion,
  sorting,
  chosen,
  onSort,
  onChoose,
}: {
  readonly rows: readonly Row[]
  readonly of: 'runs' | 'steps'
  readonly byVersion: boolean
  readonly sorting: Sorting
  readonly chosen: (row: Row) => boolean
  readonly onSort: (sorting: Sorting) => void
  readonly onChoose: (row: Row) => void
}) {
  const shown = columns.filter(({ stepsOnly }) => of === 'steps' || stepsOnly !== true)
  const most = Object.fromEntries(shown.map(({ key }) => [key, Math.max(0, ...rows.map((row) => row[key] ?? 0))]))
  const head = (key: string, title: ReactNode, means?: string) => (
    <th
      key={key}
      className={shown.some((column) => column.key === key) ? 'number' : undefined}
      aria-sort={sorting.by === key ? (sorting.down ? 'descending' : 'ascending') : undefined}
    >
      <button
        type="button"
        className="plain sort"
        title={means}
        onClick={() => onSort({ by: key, down: sorting.by === key ? !sorting.down : shown.some((c) => c.key === key) })}
      >
        {title}
        <span aria-hidden="true">{sorting.by === key ? (sorting.down ? '↓' : '↑') : ''}</span>
      </button>
    </th>
  )
  return (
    <table className="figures" aria-label={of === 'steps' ? 'Steps' : 'Workflows'}>
      <thead>
        <tr>
          {of === 'steps' && head('step', 'Step')}
          {head('workflow', 'Workflow')}
          {byVersion && head('version', 'Version')}
          {shown.map(({ key, title, means }) => head(key, title, means))}
        </tr>
      </thead>
      <tbody>
        {sorted(rows, sorting).map((row) => (
          <tr key={row.key} aria-selected={chosen(row)}>
            <td className="name">
              <button type="button" className="plain link" onClick={() => onChoose(row)}>
                <span className="cut" title={row.step ?? row.workflow}>
                  {row.step ?? row.workflow}
                </span>
              </button>
              {row.before?.count === 0 && <div className="change muted">not there before</div>}
            </td>
            {of === 'steps' && (
              <td className="name">
                <span className="cut" title={row.workflow}>
                  {row.workflow}
                </span>
              </td>
            )}
            {byVersion && <td>{row.version === null ? '–' : `@${row.version}`}</td>}
            {shown.map((column) => (
              <Cell key={column.key} column={column} row={row} most={most[column.key]!} />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Cell({ column, row, most }: { readonly column: Column; readonly row: Row; readonly most: number }) {
  const value = row[column.key]
  return (
    <td className="number" data-figure={column.key} data-value={value ?? ''}>
      <div>{value === null ? '–' : column.show(value)}</div>
      {column.bar === true && value !== null && value > 0 && (
        <div className={`bar ${column.key}`} style={{ width: `${(value / most) * 100}%` }} />
      )}
      {row.before !== null && row.before.count > 0 && (
        <Change now={value} then={row.before[column.key]} column={column} />
      )}
    </td>
  )
}

/** Against the window before: by how much, and whether that is good. */
function Change({
  now,
  then,
  column: { show, worse, key },
}: {
  readonly now: number | null
  readonly then: number | null
  readonly column: Column
}) {
  if (now === null || then === null) return <div className="change muted">{then === null ? 'new' : 'none'}</div>
  const isRate = key === 'failureRate' || key === 'retryRate'
  const by = isRate ? now - then : then === 0 ? (now === 0 ? 0 : Number.POSITIVE_INFINITY) : now / then - 1
  const same = Math.abs(by) < (isRate ? 0.001 : 0.02)
  const tone = same || worse === null ? 'muted' : by > 0 === worse ? 'bad' : 'good'
  const text = same
    ? '='
    : `${by > 0 ? '▲' : '▼'} ${by === Number.POSITIVE_INFINITY ? 'new' : isRate ? `${Math.abs(by * 100).toFixed(1)} pp` : percent(Math.abs(by))}`
  return (
    <div className={`change ${tone}`} title={`before: ${show(then)}`}>
      {text}
      {tone === 'bad' && <span className="visually-hidden"> worse</span>}
      {tone === 'good' && <span className="visually-hidden"> better</span>}
    </div>
  )
}
