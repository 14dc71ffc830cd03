/** What waits for workers, what holds it back, and how that is changed. */
import { useState } from 'react'
import { Link } from 'wouter'
import type { LimitTarget } from '../../../core/types.ts'
import { useAct } from '../../lib/act.ts'
import { runsHref } from '../../lib/filter.ts'
import { count, duration } from '../../lib/format.ts'
import { nameOf } from '../../lib/limits.ts'
import { type QueueItem, type Queues, useLimits, useQueues } from '../../lib/ops.ts'
import { useMay } from '../../lib/session.ts'
import { ActionsHeading } from '../../parts/actions-heading.tsx'
import { Dialog, Empty, Problem } from '../../parts/basics.tsx'
import { StateMark } from '../../parts/status.tsx'
import { everyMs, Limits } from './limits.tsx'
import './queues.css'

export default function QueuesPage() {
  return (
    <div className="stack queues">
      <h1>Queues and limits</h1>
      <QueueTable />
      <Limits />
    </div>
  )
}

function QueueTable() {
  const { data, error } = useQueues(everyMs)
  const { data: known } = useLimits(everyMs)
  const may = useMay('operate')
  const [asked, setAsked] = useState<QueueItem | null>(null)
  /** Its limits by a key that are paused: they hold all of it back, too. */
  const keyedPauses = (queue: string): readonly LimitTarget[] =>
    known?.limits.flatMap(({ target, paused }) =>
      paused && target.queue === queue && target.key !== undefined ? [target] : [],
    ) ?? []
  return (
    <section className="panel" aria-label="Queues">
      <header>
        <h2>Queues</h2>
        {data !== undefined && data.more.length > 0 && (
          <span className="muted">
            of {data.more.join(', ')} runs the newest {count(data.limit)} are counted
          </span>
        )}
      </header>
      {error !== null && data === undefined && <Problem error={error} />}
      {data?.queues.length === 0 && (
        <Empty command="stet worker -q default">No queue has open runs, a worker or a limit.</Empty>
      )}
      {data !== undefined && data.queues.length > 0 && (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>Queue</th>
                <th className="number">Ready</th>
                <th className="number">Oldest</th>
                <th className="number">Running</th>
                <th className="number">Waiting</th>
                <th className="number">Blocked</th>
                <th className="number">At once</th>
                <th className="number">Workers</th>
                {may && <ActionsHeading />}
              </tr>
            </thead>
            <tbody>
              {data.queues.map((queue) => (
                <QueueRow
                  key={queue.queue}
                  queue={queue}
                  all={data}
                  {...(may ? { onAsk: () => setAsked(queue) } : {})}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asked !== null && <Pausing queue={asked} others={keyedPauses(asked.queue)} onClose={() => setAsked(null)} />}
    </section>
  )
}

function QueueRow({
  queue: each,
  all,
  onAsk,
}: {
  readonly queue: QueueItem
  readonly all: Queues
  /** Not given: whoever looks may not. */
  readonly onAsk?: () => void
}) {
  const { queue, ready, oldestAgeMs, running, waiting, blocked, isPaused, workers, concurrency } = each
  const some = (status: string, n: number) => (
    <Link href={runsHref({ status, queue })}>
      {count(n)}
      {all.more.includes(status) ? '+' : ''}
    </Link>
  )
  return (
    <tr data-queue={queue}>
      <td className="name">
        <span className="row">
          <Link className="cut" href={runsHref({ status: 'open', queue })}>
            {queue}
          </Link>
          {isPaused && <StateMark tone="paused" icon="paused" word="paused" />}
        </span>
      </td>
      <td className="number">{count(ready)}</td>
      <td className="number">{oldestAgeMs === null ? '–' : duration(oldestAgeMs)}</td>
      <td className="number">{some('running', running)}</td>
      <td className="number">{some('waiting', waiting)}</td>
      <td className="number">{some('blocked', blocked)}</td>
      <td className="number">{concurrency === null ? '–' : count(concurrency)}</td>
      <td className="number">
        {workers === 0 ? <StateMark tone="blocked" icon="blocked" word="nobody listens" /> : count(workers)}
      </td>
      {onAsk !== undefined && (
        <td className="actions">
          <button type="button" aria-label={`${isPaused ? 'Resume' : 'Pause'} ${queue}`} onClick={onAsk}>
            {isPaused ? 'Resume' : 'Pause'}
          </button>
        </td>
      )}
    </tr>
  )
}

function Pausing({
  queue: { queue, isPaused, ready, running },
  others,
  onClose,
}: {
  readonly queue: QueueItem
  readonly others: readonly LimitTarget[]
  readonly onClose: () => void
}) {
  const { act } = useAct('/api/queues', '/api/limits')
  const word = isPaused ? 'Resume' : 'Pause'
  return (
    <Dialog
      title={`${word} ${queue}`}
      action={word}
      onDone={async () => {
        if (!isPaused) await act('/api/limits/pause', { target: { queue } })
        else for (const target of [{ queue }, ...others]) await act('/api/limits/resume', { target })
      }}
      onClose={onClose}
    >
      {isPaused ? (
        <p>
          Its runs are claimed again, {ready === 0 ? 'none waits now' : `${count(ready)} ready now`}.
          {others.length > 0 && ` Resumed with it: ${others.map(nameOf).join(', ')}.`}
        </p>
      ) : (
        <p>
          Nothing of it is claimed until it is resumed. Runs that a worker has in hand go on
          {running > 0 && ` (${count(running)} now)`}; one that waits for something stays when it could go on.
        </p>
      )}
    </Dialog>
  )
}
