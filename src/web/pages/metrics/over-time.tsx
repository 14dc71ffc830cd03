import { useMemo } from 'react'
import { count, duration, percent, time } from '../../lib/format.ts'
import { lineOf, partsOf, type RunStats, type StepStats, useStats } from '../../lib/stats.ts'
import { Empty, Problem } from '../../parts/basics.tsx'
import { Chart } from '../../parts/chart.tsx'
import { type Figures, ofRun, ofStep, type Window } from './figures.ts'

/** Versions beside each other; more are in the table alone. */
const maxCharts = 4

/** Percentiles of one step, or of the runs of one workflow, over the window. */
export function OverTime({
  workflow,
  step,
  byVersion,
  window,
}: {
  readonly workflow: string
  /** Null: its runs. */
  readonly step: string | null
  readonly byVersion: boolean
  readonly window: Window
}) {
  const { since, every, everyMs } = window
  const { data, error } = useStats({
    ...{ workflow, since, every },
    ...(step === null ? { only: 'runs' } : { step, only: 'steps' }),
    ...(byVersion ? { by: 'version' as const } : {}),
  })
  const at = useMemo(() => (data === undefined ? [] : partsOf(data, everyMs)), [data, everyMs])
  const groups = useMemo(() => {
    const all: readonly (RunStats | StepStats)[] = (step === null ? data?.runs : data?.steps) ?? []
    const versions = byVersion ? [...new Set(all.map(({ version }) => version ?? 0))].sort((a, b) => b - a) : [null]
    return versions.map((version) => ({
      version,
      parts: all
        .filter((each) => version === null || each.version === version)
        .map((each) => ({
          at: each.at!,
          failed: each.failed,
          ...('attempts' in each ? ofStep(each) : ofRun(each)),
        })),
    }))
  }, [data, step, byVersion])
  if (error !== null && data === undefined) return <Problem error={error} />
  if (data === undefined) return null
  const what = step === null ? `runs of ${workflow}` : `${step} of ${workflow}`
  if (groups.every(({ parts }) => parts.length === 0)) {
    return (
      <section className="panel">
        <Empty command={`stet stats ${/^[\w-]+$/.test(workflow) ? workflow : JSON.stringify(workflow)} --since 7d`}>
          Nothing was counted of {what} in this window.
        </Empty>
      </section>
    )
  }
  // One scale, so that what is higher is slower.
  const max = byVersion
    ? Math.max(...groups.flatMap(({ parts }) => parts.map(({ p99 }) => p99 ?? 0))) * 1.1 || undefined
    : undefined
  return (
    <div className="over-time" data-charts={Math.min(groups.length, maxCharts)}>
      {groups.slice(0, maxCharts).map(({ version, parts }) => (
        <One
          key={version}
          title={version === null ? what : `${what}, version ${version}`}
          at={at}
          parts={parts}
          {...(max === undefined ? {} : { max })}
        />
      ))}
    </div>
  )
}

interface Part extends Figures {
  readonly at: string
  readonly failed: number
}

function One({
  title,
  at,
  parts,
  max,
}: {
  readonly title: string
  readonly at: readonly number[]
  readonly parts: readonly Part[]
  readonly max?: number
}) {
  const lines = useMemo(
    () => [
      { label: 'P50, the median', colour: 'accent', fill: true, values: lineOf(at, parts, ({ p50 }) => p50) },
      { label: 'P95', colour: 'running', dash: [7, 3], values: lineOf(at, parts, ({ p95 }) => p95) },
      { label: 'P99', colour: 'retrying', dash: [2, 3], values: lineOf(at, parts, ({ p99 }) => p99) },
    ],
    [at, parts],
  )
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2 className="cut" title={title}>
          {title}
        </h2>
      </header>
      <div className="body beside">
        <Chart
          label={`Percentiles over time of ${title}; the table beside it has the figures`}
          at={at}
          lines={lines}
          format={duration}
          height={250}
          {...(max === undefined ? {} : { max })}
        />
        <div className="scroll parts">
          <table aria-label={`Figures of ${title} over time`}>
            <thead>
              <tr>
                <th>From</th>
                <th className="number">P50</th>
                <th className="number">P95</th>
                <th className="number">P99</th>
                <th className="number">Count</th>
                <th className="number">Failed</th>
              </tr>
            </thead>
            <tbody>
              {[...parts].reverse().map((part) => (
                <tr key={part.at}>
                  <td>
                    <time dateTime={part.at}>{time(part.at)}</time>
                  </td>
                  {(['p50', 'p95', 'p99'] as const).map((key) => (
                    <td key={key} className="number">
                      {part[key] === null ? '–' : duration(part[key])}
                    </td>
                  ))}
                  <td className="number">{count(part.count)}</td>
                  <td className="number">
                    {part.failed === 0 ? '0' : `${count(part.failed)} (${percent(part.failureRate)})`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </section>
  )
}
