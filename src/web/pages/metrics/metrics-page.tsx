/** How long, how often, how well: by workflow, step and version. All of what is chosen stands in the address. */
import { useMemo } from 'react'
import { usePlace } from '../../lib/place.ts'
import { useStats } from '../../lib/stats.ts'
import { useWorkflows } from '../../lib/workflows.ts'
import { Empty, Problem } from '../../parts/basics.tsx'
import { rowsOf, windows } from './figures.ts'
import { FiguresTable } from './figures-table.tsx'
import './metrics.css'
import { OverTime } from './over-time.tsx'

export default function MetricsPage() {
  const place = usePlace()
  const workflows = useWorkflows()
  const window = windows.find(({ since }) => since === place.get('since')) ?? windows[1]
  const of = place.get('of') === 'runs' ? 'runs' : 'steps'
  const workflow = place.get('workflow')
  const step = of === 'runs' ? null : place.get('step')
  const byVersion = place.get('by') === 'version'
  const compare = place.get('compare') === 'true'
  const sorting = { by: place.get('sort') ?? 'p95', down: place.get('order') !== 'up' }
  const { data, error } = useStats({
    ...{ since: window.since, only: of },
    ...(workflow === null ? {} : { workflow }),
    ...(byVersion ? { by: 'version' as const } : {}),
    ...(compare ? { compare } : {}),
  })
  const rows = useMemo(() => (data === undefined ? null : rowsOf(data, of)), [data, of])
  const names = [...new Set([...workflows.map(({ name }) => name), ...(workflow === null ? [] : [workflow])])]
  return (
    <div className="stack metrics">
      <h1>Metrics</h1>
      <div className="row bar-of-choices">
        <fieldset className="row choices" aria-label="Of what">
          {(['steps', 'runs'] as const).map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={of === each}
              onClick={() => place.set({ of: each === 'steps' ? null : each, step: null })}
            >
              {each}
            </button>
          ))}
        </fieldset>
        <fieldset className="row choices" aria-label="Window">
          {windows.map(({ since, label }) => (
            <button
              key={since}
              type="button"
              aria-pressed={since === window.since}
              onClick={() => place.set({ since: since === '1h' ? null : since })}
            >
              {label}
            </button>
          ))}
        </fieldset>
        <label className="row">
          <span className="muted">workflow</span>
          <select value={workflow ?? ''} onChange={(event) => place.set({ workflow: event.target.value, step: null })}>
            <option value="">all</option>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="row">
          <input
            type="checkbox"
            checked={byVersion}
            onChange={(event) => place.set({ by: event.target.checked ? 'version' : null })}
          />
          versions beside each other
        </label>
        <label className="row">
          <input
            type="checkbox"
            checked={compare}
            onChange={(event) => place.set({ compare: event.target.checked ? 'true' : null })}
          />
          compare with the {window.label} before
        </label>
      </div>
      {workflow !== null && (of === 'runs' || step !== null) && (
        <OverTime
          key={JSON.stringify([workflow, step])}
          workflow={workflow}
          step={step}
          byVersion={byVersion}
          window={window}
        />
      )}
      {error !== null && data === undefined && <Problem error={error} />}
      {rows !== null && rows.length === 0 && (
        <Empty command="stet worker">
          Nothing was counted in this window. Workers bring their figures every ten seconds; none of them, none of
          these:
        </Empty>
      )}
      {rows !== null && rows.length > 0 && (
        <div className="panel scroll">
          <FiguresTable
            rows={rows}
            of={of}
            byVersion={byVersion}
            sorting={sorting}
            chosen={(row) => row.workflow === workflow && row.step === step}
            onSort={({ by, down }) =>
              place.set({ sort: by === 'p95' ? null : by, order: down ? null : 'up' }, { replace: true })
            }
            onChoose={(row) => place.set({ workflow: row.workflow, step: row.step })}
          />
        </div>
      )}
      <p className="muted small">
        Kept by workers, by the minute: percentiles are within 5 % of the truth. Digits in names of steps are shown as
        #.
      </p>
    </div>
  )
}
