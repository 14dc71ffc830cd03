/** Who works, what waits for them, and what nobody can do. */
import { Link } from 'wouter'
import { count, duration } from '../../lib/format.ts'
import { type QueueItem, type Queues, useQueues, useVersions, useWorkers } from '../../lib/ops.ts'
import type { WorkerItem } from '../../lib/types.ts'
import { Copyable, Empty, Problem, Time } from '../../parts/basics.tsx'
import { StatusIcon } from '../../parts/status.tsx'
import './workers.css'

/** A worker that comes or goes is seen within this. */
const everyMs = 5_000
/** Workers tell every second or two that they live; one that has not for so long may be gone. */
const silentMs = 8_000

export default function WorkersPage() {
  return (
    <div className="stack workers">
      <h1>Workers and queues</h1>
      <Unserved />
      <Workers />
      <QueueTable />
      <Versions />
    </div>
  )
}

const search = (parts: Readonly<Record<string, string | number>>) =>
  `/runs?${new URLSearchParams({
    q: Object.entries(parts)
      .map(([key, value]) => `${key}:${/[\s"]/.test(String(value)) ? JSON.stringify(value) : value}`)
      .join(' '),
  })}`

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
              <Link href={search({ status: 'open', workflow, version })} className="mono">
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
          <span className="status tone-blocked">
            <StatusIcon status="blocked" />
            not seen for {duration(beatAgeMs)}
          </span>
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

function QueueTable() {
  const { data, error } = useQueues(everyMs)
  return (
    <section className="panel scroll" aria-label="Queues">
      <header>
        <h2>Queues</h2>
        {data !== undefined && data.more.length > 0 && (
          <span className="muted">
            of {data.more.join(', ')} runs the newest {count(data.limit)} are counted
          </span>
        )}
      </header>
      {error !== null && data === undefined && <Problem error={error} />}
      {data?.queues.length === 0 && <Empty command="stet worker -q default">No queue has open runs or a worker.</Empty>}
      {data !== undefined && data.queues.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Queue</th>
              <th className="number">Ready</th>
              <th className="number">Oldest</th>
              <th className="number">Running</th>
              <th className="number">Waiting</th>
              <th className="number">Blocked</th>
              <th className="number">Workers</th>
            </tr>
          </thead>
          <tbody>
            {data.queues.map((queue) => (
              <QueueRow key={queue.queue} queue={queue} all={data} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function QueueRow({ queue: each, all }: { readonly queue: QueueItem; readonly all: Queues }) {
  const { queue, ready, oldestAgeMs, running, waiting, blocked, workers } = each
  const some = (status: string, n: number) => (
    <Link href={search({ status, queue })}>
      {count(n)}
      {all.more.includes(status) ? '+' : ''}
    </Link>
  )
  return (
    <tr>
      <td>
        <Link href={search({ status: 'open', queue })}>{queue}</Link>
      </td>
      <td className="number">{count(ready)}</td>
      <td className="number">{oldestAgeMs === null ? '–' : duration(oldestAgeMs)}</td>
      <td className="number">{some('running', running)}</td>
      <td className="number">{some('waiting', waiting)}</td>
      <td className="number">{some('blocked', blocked)}</td>
      <td className="number">
        {workers === 0 ? (
          <span className="status tone-blocked">
            <StatusIcon status="blocked" />
            nobody listens
          </span>
        ) : (
          count(workers)
        )}
      </td>
    </tr>
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
                <Link href={search({ status: 'open', workflow, version })}>
                  {count(open)}
                  {more === true ? '+' : ''}
                </Link>
              </td>
              <td>
                <span className={`status tone-${served ? 'completed' : 'blocked'}`}>
                  <StatusIcon status={served ? 'completed' : 'blocked'} />
                  {served ? 'yes' : 'no'}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
