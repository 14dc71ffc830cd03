/** What is going on now. */
import { useQueries } from '@tanstack/react-query'
import { useMemo } from 'react'
import { Link } from 'wouter'
import { get, runPath } from '../../lib/api.ts'
import { openStatuses, statuses, sumOf, useCounts } from '../../lib/counts.ts'
import { runHref } from '../../lib/find-run.ts'
import { count, duration, percent } from '../../lib/format.ts'
import { useAlerts, useQueues, useWorkers } from '../../lib/ops.ts'
import { useMay } from '../../lib/session.ts'
import { partsOf, type StepStats, sumsOf, useStats } from '../../lib/stats.ts'
import type { Counts, RunSummary } from '../../lib/types.ts'
import { Copyable, Empty, Problem, Time } from '../../parts/basics.tsx'
import { Chart } from '../../parts/chart.tsx'
import { StartForm } from '../../parts/start-run.tsx'
import { Status } from '../../parts/status.tsx'
import { useNewest } from './newest.ts'
import './overview.css'

const minuteMs = 60_000
const shown = 5

export default function OverviewPage() {
  const counts = useCounts()
  if (counts !== undefined && sumOf(counts, statuses).n === 0) return <Beginning />
  return (
    <div className="stack overview">
      <h1>Overview</h1>
      <Firing />
      <Cards counts={counts} />
      <Rates />
      <div className="halves">
        <Steps />
        <Failing />
      </div>
      <div className="halves">
        <Blocked />
        <Failed />
      </div>
    </div>
  )
}

/** Nothing has ever run here. */
function Beginning() {
  const may = useMay('operate')
  return (
    <div className="stack overview beginning">
      <h1>There are no runs yet</h1>
      <div className="panel">
        <header>
          <h2>1. Start a worker</h2>
        </header>
        <div className="body stack">
          <p className="muted">It finds the workflows of your project, runs them, and runs them anew when you save.</p>
          <div>
            <Copyable text="stet dev" />
          </div>
        </div>
      </div>
      <div className="panel">
        <header>
          <h2>2. Start a run</h2>
        </header>
        <div className="body stack">
          <p className="muted">By command, from your own code, from SQL{may ? ', or here' : ''}.</p>
          <div>
            <Copyable text={`stet start order --input '{"item": "book"}'`} />
          </div>
          {may && <StartForm />}
        </div>
      </div>
    </div>
  )
}

function Firing() {
  const { data } = useAlerts()
  if (data === undefined || data.firing.length === 0) return null
  return (
    <section className="panel firing" aria-label="Alerts that fire">
      <header>
        <h2>{data.firing.length === 1 ? 'An alert fires' : `${count(data.firing.length)} alerts fire`}</h2>
        <Link href="/alerts">all alerts</Link>
      </header>
      <ul className="plain-list body">
        {data.firing.slice(0, shown).map((alert) => (
          <li key={alert.fingerprint}>
            <b>{alert.rule}</b> {alert.summary}{' '}
            <span className="muted">
              since <Time at={alert.firedAt ?? alert.since} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Cards({ counts }: { readonly counts: Counts | undefined }) {
  const queues = useQueues().data
  const workers = useWorkers().data?.workers
  const stats = useStats({ since: '1h', every: '1m', only: 'runs' }).data
  const ready = queues?.queues.reduce((sum, each) => sum + each.ready, 0)
  const oldest = Math.max(0, ...(queues?.queues.map((each) => each.oldestAgeMs ?? 0) ?? []))
  const total = (figure: 'started' | 'completed' | 'failed') => stats?.runs.reduce((sum, run) => sum + run[figure], 0)
  const [started, completed = 0, failed = 0] = [total('started'), total('completed'), total('failed')]
  return (
    <ul className="cards plain-list" aria-label="Figures">
      <Card
        label="open runs"
        href="/runs?q=status:open"
        figure={counts === undefined ? undefined : sumOf(counts, openStatuses).text}
      >
        {counts !== undefined &&
          openStatuses
            .filter((status) => counts.counts[status] > 0)
            .map((status) => (
              <Link key={status} href={`/runs?q=status:${status}`}>
                <Status status={status} text={`${sumOf(counts, [status]).text} ${status}`} />
              </Link>
            ))}
      </Card>
      <Card label="started in the last hour" figure={started === undefined ? undefined : count(started)}>
        {started !== undefined && `${(started / 60).toFixed(started < 600 ? 1 : 0)} a minute`}
      </Card>
      <Card
        label="failed in the last hour"
        href="/runs?q=status:failed+after:1h"
        figure={stats === undefined ? undefined : count(failed)}
      >
        {stats !== undefined &&
          (completed + failed === 0
            ? 'none has ended'
            : `${percent(failed / (completed + failed))} of those that ended`)}
      </Card>
      <Card label="ready, and not begun" href="/queues" figure={ready === undefined ? undefined : count(ready)}>
        {ready !== undefined && (ready === 0 ? 'nothing waits for a worker' : `the oldest for ${duration(oldest)}`)}
      </Card>
      <Card label="workers alive" href="/workers" figure={workers === undefined ? undefined : count(workers.length)}>
        {workers !== undefined &&
          (workers.length === 0 ? (
            <Copyable text="stet worker" />
          ) : (
            `with ${count(workers.reduce((sum, { runs }) => sum + runs, 0))} runs in hand`
          ))}
      </Card>
    </ul>
  )
}

function Card({
  label,
  figure,
  href,
  children,
}: {
  readonly label: string
  readonly figure: string | undefined
  readonly href?: string
  readonly children?: React.ReactNode
}) {
  return (
    <li className="card">
      <div className="label">{href === undefined ? label : <Link href={href}>{label}</Link>}</div>
      <div className="figure">{figure ?? '…'}</div>
      <div className="row small muted">{children}</div>
    </li>
  )
}

function Rates() {
  const { data: stats, error } = useStats({ since: '1h', every: '1m', only: 'runs' })
  const at = useMemo(() => (stats === undefined ? [] : partsOf(stats, minuteMs)), [stats])
  const lines = useMemo(() => {
    const runs = stats?.runs ?? []
    return [
      { label: 'started', colour: 'running', values: sumsOf(at, runs, (run) => run.started) },
      { label: 'completed', colour: 'completed', dash: [8, 3], values: sumsOf(at, runs, (run) => run.completed) },
      { label: 'failed', colour: 'failed', dash: [2, 3], fill: true, values: sumsOf(at, runs, (run) => run.failed) },
    ]
  }, [stats, at])
  const sums = lines.map(({ label, values }) => `${count(values.reduce((sum, n) => sum + n, 0))} ${label}`)
  return (
    <section className="panel" aria-label="Rates of the last hour">
      <header>
        <h2>Runs per minute, the last hour</h2>
        <span className="muted">{stats === undefined ? '' : sums.join(', ')}</span>
      </header>
      <div className="body">
        {error !== null && stats === undefined ? (
          <Problem error={error} />
        ) : (
          <Chart
            label={`Runs per minute in the last hour: ${sums.join(', ')}`}
            at={at}
            lines={lines}
            format={(value) => (Number.isInteger(value) ? count(value) : value.toFixed(1))}
            height={190}
          />
        )}
      </div>
    </section>
  )
}

const stepHref = ({ workflow, step }: StepStats) => `/statistics?${new URLSearchParams({ workflow, step })}`

function Steps() {
  const steps = useStats({ since: '1h', only: 'steps' }).data?.steps ?? []
  return (
    <StepPanel
      title="Slowest steps"
      note="of the last hour, by P95"
      empty="No step has completed in the last hour."
      steps={steps
        .filter(({ durationMs }) => durationMs !== null)
        .sort((a, b) => b.durationMs!.p95 - a.durationMs!.p95)}
      figures={{
        P50: ({ durationMs }) => duration(durationMs!.p50),
        P95: ({ durationMs }) => duration(durationMs!.p95),
        Attempts: ({ attempts }) => count(attempts),
      }}
    />
  )
}

function Failing() {
  const steps = useStats({ since: '1h', only: 'steps' }).data?.steps ?? []
  return (
    <StepPanel
      title="Steps that fail most"
      note="of the last hour"
      empty="No attempt of a step has failed in the last hour."
      steps={steps
        .filter(({ failed, retried }) => failed + retried > 0)
        .sort((a, b) => b.failed - a.failed || b.retried - a.retried)}
      figures={{
        Failed: ({ failed }) => count(failed),
        Rate: ({ failureRate }) => percent(failureRate),
        Retried: ({ retried }) => count(retried),
      }}
    />
  )
}

/** The first of these steps, with a column for each figure. */
function StepPanel({
  title,
  note,
  empty,
  steps,
  figures,
}: {
  readonly title: string
  readonly note: string
  readonly empty: string
  readonly steps: readonly StepStats[]
  readonly figures: Readonly<Record<string, (step: StepStats) => string>>
}) {
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span className="muted">{note}</span>
      </header>
      {steps.length === 0 ? (
        <Empty>{empty}</Empty>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Step</th>
              <th>Workflow</th>
              {Object.keys(figures).map((name) => (
                <th key={name} className="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {steps.slice(0, shown).map((step) => (
              <tr key={`${step.workflow}\n${step.step}`}>
                <td className="name">
                  <Link href={stepHref(step)} className="cut">
                    {step.step}
                  </Link>
                </td>
                <td className="name">
                  <span className="cut">{step.workflow}</span>
                </td>
                {Object.entries(figures).map(([name, figure]) => (
                  <td key={name} className="number">
                    {figure(step)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function Blocked() {
  const runs = useNewest('blocked', shown)
  const reasons = useQueries({
    queries: (runs ?? []).map(({ runId }) => ({
      queryKey: ['reason', runId],
      queryFn: () => get<{ run: RunSummary }>(runPath(runId, '/summary')),
      staleTime: minuteMs,
    })),
  })
  return (
    <section className="panel" aria-label="Blocked runs">
      <header>
        <h2>Blocked</h2>
        <Link href="/runs?q=status:blocked">all</Link>
      </header>
      {runs?.length === 0 ? (
        <Empty>No run is blocked.</Empty>
      ) : (
        <ul className="plain-list body">
          {runs?.map((run, i) => (
            <li key={run.runId} className="stack entry">
              <span className="row">
                <Status status={run.status} />
                <Link href={runHref(run.runId)} className="mono cut">
                  {run.id}
                </Link>
                <span className="muted">
                  {run.workflow}@{run.version}
                </span>
              </span>
              <span className="clamp">{reasons[i]?.data?.run.problem?.message}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Failed() {
  const runs = useNewest('failed', shown)
  return (
    <section className="panel" aria-label="Newest failed runs">
      <header>
        <h2>Newest failed</h2>
        <Link href="/runs?q=status:failed">all</Link>
      </header>
      {runs?.length === 0 ? (
        <Empty>No run has failed.</Empty>
      ) : (
        <ul className="plain-list body">
          {runs?.map((run) => (
            <li key={run.runId} className="stack entry">
              <span className="row">
                <Status status={run.status} />
                <Link href={runHref(run.runId)} className="mono cut">
                  {run.id}
                </Link>
                <span className="muted">
                  {run.workflow}@{run.version}, <Time at={run.closedAt ?? run.createdAt} />
                </span>
              </span>
              <span className="clamp">{run.error?.message}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
