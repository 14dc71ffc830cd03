/** Who works, and what nobody can do. */
import { Link } from 'wouter'
import { runsHref } from '../../lib/filter.ts'
import { count, duration } from '../../lib/format.ts'
import { useVersions, useWorkers } from '../../lib/ops.ts'
import type { WorkerItem } from '../../lib/types.ts'
import { Copyable, Empty, Problem, Time } from '../../parts/basics.tsx'
import { StateMark, StatusIcon } from '../../parts/status.tsx'
import './workers.css'

/** A worker that comes or goes is seen within this. */
const everyMs = 5_000
/** Workers tell every second or two that they live; one that has not for so long may be gone. */
const silentMs = 8_000

export default function WorkersPage() {
  return (
    <div className="stack workers">
      <h1>Workers</h1>
      <Unserved />
      <Workers />
      <Versions />
    </div>
  )
}

/** A run that was started by name has no version until a worker that has one takes it. */
const named = (workflow: string, version: number) =>
  version === 0 ? `${workflow}, no version yet` : `${workflow}@${version}`

function Unserved() {
  const { data } = useVersions(everyMs)
  const left = data?.versions.filter(({ served }) => !served) ?? []
  if (left.length === 0) return null
  return (
    <section className="panel unserved tone-blocked" aria-label="Versions without a worker">
      <header>
        <StatusIcon status="blocked" />
        <h2>Open runs that no live worker has the code for</h2>
      </header>
      <div className="body stack">
        <ul className="plain-list">
          {left.map(({ workflow, version, open, more }) => (
            <li key={`${workflow}@${version}`}>
              <Link href={runsHref({ status: 'open', workflow, version })} className="mono">
                {named(workflow, version)}
              </Link>
              : {count(open)}
              {more === true ? '+' : ''} {open === 1 ? 'run waits' : 'runs wait'}
            </li>
          ))}
        </ul>
        <div className="row">
          <span className="muted">Start a worker that has it:</span>
          <Copyable text="stet worker" />
          <span className="muted">or move them to a version that one has:</span>
          <code>stet move &lt;run&gt; &lt;version&gt;</code>
        </div>
      </div>
    </section>
  )
}

function Workers() {
  const { data, error } = useWorkers(everyMs)
  return (
    <section className="panel scroll" aria-label="Workers">
      <header>
        <h2>Workers</h2>
        <span className="muted">{data === undefined ? '' : `${count(data.workers.length)} alive`}</span>
      </header>
      {error !== null && data === undefined && <Problem error={error} />}
      {data?.workers.length === 0 && <Empty command="stet worker">No worker is alive: what is open waits.</Empty>}
      {data !== undefined && data.workers.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Host</th>
              <th className="number">Process</th>
              <th>Queues</th>
              <th>Workflows</th>
              <th className="number">Runs</th>
              <th>Since</th>
              <th>Last sign of life</th>
              <th>Id</th>
            </tr>
          </thead>
          <tbody>
            {data.workers.map((worker) => (
              <WorkerRow key={worker.id} worker={worker} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function WorkerRow({ worker }: { readonly worker: WorkerItem }) {
  const { id, host, pid, queues, workflows, runs, startedAt, beatAgeMs } = worker
  const silent = beatAgeMs > silentMs
  return (
    <tr data-worker={id}>
      <td>{host ?? '–'}</td>
      <td className="number">{pid ?? '–'}</td>
      <td>
        <Words words={queues} />
      </td>
      <td>
        <Words words={workflows.map(({ name, version }) => `${name}@${version}`)} />
      </td>
      <td className="number">{count(runs)}</td>
      <td>{startedAt === null ? '–' : <Time at={startedAt} />}</td>
      <td>
        {silent ? (
          <StateMark tone="blocked" icon="blocked" word={`not seen for ${duration(beatAgeMs)}`} />
        ) : (
          <span className="muted">{duration(beatAgeMs)} ago</span>
        )}
      </td>
      <td className="mono muted">{id}</td>
    </tr>
  )
}

/** The first of them; all by a click. */
function Words({ words }: { readonly words: readonly string[] }) {
  const few = words.slice(0, 4)
  if (words.length <= few.length) return <span className="words">{words.join(', ')}</span>
  return (
    <details>
      <summary>
        {few.join(', ')} and {count(words.length - few.length)} more
      </summary>
      {words.slice(few.length).join(', ')}
    </details>
  )
}

function Versions() {
  const { data } = useVersions(everyMs)
  if (data === undefined || data.versions.length === 0) return null
  return (
    <section className="panel scroll" aria-label="Versions with open runs">
      <header>
        <h2>Versions with open runs</h2>
      </header>
      <table>
        <thead>
          <tr>
            <th>Workflow</th>
            <th className="number">Open runs</th>
            <th>A worker has it</th>
          </tr>
        </thead>
        <tbody>
          {data.versions.map(({ workflow, version, open, served, more }) => (
            <tr key={`${workflow}@${version}`}>
              <td>{named(workflow, version)}</td>
              <td className="number">
                <Link href={runsHref({ status: 'open', workflow, version })}>
                  {count(open)}
                  {more === true ? '+' : ''}
                </Link>
              </td>
              <td>
                {served ? (
                  <StateMark tone="completed" icon="completed" word="yes" />
                ) : (
                  <StateMark tone="blocked" icon="blocked" word="no" />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
