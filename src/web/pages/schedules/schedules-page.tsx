/** Schedules: when each fires, what became of its last slots, and what can be done by hand. */
import { useState } from 'react'
import { Link } from 'wouter'
import { runHref } from '../../lib/find-run.ts'
import { usePlace } from '../../lib/place.ts'
import { type Schedule, useSchedule, useScheduleAct, useSchedules } from '../../lib/schedules.ts'
import { useMay } from '../../lib/session.ts'
import { Dialog, Empty, Problem, Time } from '../../parts/basics.tsx'
import { StateMark } from '../../parts/status.tsx'
import './schedules.css'

const states = {
  active: { tone: 'completed', icon: 'pending', word: 'active' },
  paused: { tone: 'skipped', icon: 'paused', word: 'paused' },
  over: { tone: 'skipped', icon: 'completed', word: 'over' },
  broken: { tone: 'failed', icon: 'blocked', word: 'cannot fire' },
  started: { tone: 'completed', icon: 'completed', word: 'started' },
  due: { tone: 'retrying', icon: 'pending', word: 'due' },
  buffered: { tone: 'retrying', icon: 'pending', word: 'buffered' },
  skipped: { tone: 'skipped', icon: 'paused', word: 'skipped' },
  missed: { tone: 'failed', icon: 'blocked', word: 'missed' },
} as const

const stateOf = ({ problem, paused, next }: Schedule): keyof typeof states =>
  problem !== undefined ? 'broken' : paused ? 'paused' : next === undefined ? 'over' : 'active'

export default function SchedulesPage() {
  const place = usePlace()
  const after = place.get('after')
  const { data, error } = useSchedules(after)
  const chosen = place.get('id')
  const schedules = data?.schedules ?? []
  return (
    <div className="stack schedules">
      <h1>Schedules</h1>
      {error !== null && data === undefined && <Problem error={error} />}
      {data !== undefined && schedules.length === 0 && (
        <Empty command="stet schedule create nightly <workflow> --cron '0 3 * * *'">
          There are no schedules{after === null ? ' yet' : ' from here on'}. They start runs at times that you name:
          from code, from <code>stet.config.ts</code> under <code>schedules</code>, or by a command.
        </Empty>
      )}
      {schedules.length > 0 && (
        <section className="panel" aria-label="All schedules">
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>State</th>
                  <th>Schedule</th>
                  <th>Fires</th>
                  <th>Next</th>
                  <th>Last</th>
                </tr>
              </thead>
              <tbody>
                {schedules.map((schedule) => (
                  <tr key={schedule.id} data-schedule={schedule.id}>
                    <td>
                      <StateMark {...states[stateOf(schedule)]} />
                    </td>
                    <td className="name">
                      <button
                        type="button"
                        className="plain cut"
                        aria-expanded={schedule.id === chosen}
                        onClick={() => place.set({ id: schedule.id === chosen ? null : schedule.id })}
                      >
                        <b>{schedule.id}</b>
                      </button>
                      <div className="muted cut">{schedule.workflow}</div>
                    </td>
                    <td>
                      <span className="mono">{schedule.times}</span> <span className="muted">{schedule.timeZone}</span>
                      {(schedule.problem ?? schedule.note) !== undefined && (
                        <div className="muted">{schedule.problem ?? schedule.note}</div>
                      )}
                    </td>
                    <td>{schedule.next !== undefined && <Time at={schedule.next} />}</td>
                    <td>{schedule.last !== undefined && <Time at={schedule.last} />}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
      <div className="row">
        {after !== null && (
          <button type="button" onClick={() => place.set({ after: null })}>
            First page
          </button>
        )}
        {data?.next !== undefined && (
          <button type="button" onClick={() => place.set({ after: data.next! })}>
            Next page
          </button>
        )}
      </div>
      {chosen !== null && <One key={chosen} id={chosen} onGone={() => place.set({ id: null })} />}
    </div>
  )
}

function One({ id, onGone }: { readonly id: string; readonly onGone: () => void }) {
  const { data, error } = useSchedule(id)
  const may = useMay('operate')
  const { act, tryTo, failed } = useScheduleAct()
  const [asked, setAsked] = useState<'trigger' | 'backfill' | 'pause' | 'delete' | null>(null)
  const [told, setTold] = useState<string | null>(null)
  if (data === undefined) return error === null ? null : <Problem error={error} />
  const { fires, nextFires, overlap, runs, maxRuns, buffered, source, input, paused } = data
  const close = () => setAsked(null)
  return (
    <section className="panel" aria-label={`Schedule ${id}`}>
      <header>
        <h2 className="cut">{id}</h2>
        {may && (
          <span className="row">
            <button type="button" onClick={() => setAsked('trigger')}>
              Trigger now
            </button>
            <button type="button" onClick={() => setAsked('backfill')}>
              Backfill
            </button>
            <button type="button" onClick={() => (paused ? tryTo('/api/schedules/resume', { id }) : setAsked('pause'))}>
              {paused ? 'Resume' : 'Pause'}
            </button>
            <button type="button" className="danger" onClick={() => setAsked('delete')}>
              Delete
            </button>
          </span>
        )}
      </header>
      <div className="body stack">
        {failed !== null && <Problem error={failed} />}
        {told !== null && <p role="status">{told}</p>}
        <p className="muted">
          Starts <b>{data.workflow}</b>, {runs}
          {maxRuns === undefined ? '' : ` of ${maxRuns}`} so far. While an earlier run is open: {overlap}.
          {buffered > 0 && ` ${buffered} wait.`} {source === 'config' && 'From stet.config.ts.'}
        </p>
        {nextFires.length > 0 && (
          <p>
            Next:{' '}
            {nextFires.map((at, i) => (
              <span key={at}>
                {i > 0 && ', '}
                <Time at={at} />
              </span>
            ))}
          </p>
        )}
        {input !== undefined && <pre>{JSON.stringify(input, null, 2)}</pre>}
        {fires.length === 0 ? (
          <Empty>It has not fired yet.</Empty>
        ) : (
          <div className="scroll">
            <table aria-label="Last fires">
              <thead>
                <tr>
                  <th>Slot</th>
                  <th>What became of it</th>
                  <th>By</th>
                  <th>Run</th>
                </tr>
              </thead>
              <tbody>
                {fires.map(({ slot, until, status, via, reason, runId, runStatus, id: run }) => (
                  <tr key={slot} data-slot={slot}>
                    <td>
                      <Time at={slot} />
                      {until !== undefined && (
                        <>
                          {' '}
                          to <Time at={until} />
                        </>
                      )}
                    </td>
                    <td>
                      <StateMark {...states[status]} />{' '}
                      {reason !== undefined && <span className="muted">{reason}</span>}
                    </td>
                    <td>{via}</td>
                    <td className="name">
                      {runId !== undefined && runStatus !== undefined && (
                        <Link className="cut" href={runHref(runId)}>
                          {run}
                        </Link>
                      )}{' '}
                      <span className="muted">{runStatus ?? (runId === undefined ? '' : 'deleted')}</span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {asked === 'trigger' && (
        <Dialog
          title={`Trigger ${id}`}
          action="Trigger"
          onDone={async () => {
            const { id: run, runId } = await act<{ id: string; runId: string | null }>('/api/schedules/trigger', { id })
            setTold(runId === null ? `${run} starts when the earlier run has closed.` : `Started ${run}.`)
          }}
          onClose={close}
        >
          <p>It fires once more, now. While an earlier run is open: {overlap}.</p>
        </Dialog>
      )}
      {asked === 'backfill' && <Backfill id={id} onTold={setTold} onClose={close} />}
      {asked === 'pause' && <Pause id={id} onClose={close} />}
      {asked === 'delete' && (
        <Dialog
          title={`Delete ${id}`}
          action="Delete"
          danger
          onDone={async () => {
            await act('/api/schedules/delete', { id })
            onGone()
          }}
          onClose={close}
        >
          <p>
            Its runs go on. What waits for an earlier run is not started.
            {source === 'config' && ' The next worker that starts with the config makes it again.'}
          </p>
        </Dialog>
      )}
    </section>
  )
}

function Pause({ id, onClose }: { readonly id: string; readonly onClose: () => void }) {
  const { act } = useScheduleAct()
  const [note, setNote] = useState('')
  return (
    <Dialog
      title={`Pause ${id}`}
      action="Pause"
      onDone={async () => {
        await act('/api/schedules/pause', { id, ...(note === '' ? {} : { note }) })
      }}
      onClose={onClose}
    >
      <p>Nothing fires until it is resumed, and nothing of that counts as missed.</p>
      <label>
        Why (for the others)
        <input value={note} maxLength={2_000} onChange={(event) => setNote(event.target.value)} />
      </label>
    </Dialog>
  )
}

/** What a field for dates shows: without seconds, in UTC. */
const fieldOf = (ms: number) => new Date(ms).toISOString().slice(0, 16)

function Backfill({
  id,
  onTold,
  onClose,
}: {
  readonly id: string
  readonly onTold: (text: string) => void
  readonly onClose: () => void
}) {
  const { act } = useScheduleAct()
  const [from, setFrom] = useState(fieldOf(Date.now() - 86_400_000))
  const [to, setTo] = useState(fieldOf(Date.now()))
  const [overlap, setOverlap] = useState('allow')
  return (
    <Dialog
      title={`Backfill ${id}`}
      action="Backfill"
      onDone={async () => {
        const span = { from: new Date(`${from}Z`).toISOString(), to: new Date(`${to}Z`).toISOString() }
        const counts = await act<Record<'started' | 'buffered' | 'skipped' | 'existing', number>>(
          '/api/schedules/backfill',
          {
            ...{ id, overlap },
            ...span,
          },
        )
        const { started, buffered, skipped, existing } = counts
        onTold(`Started ${started}, buffered ${buffered}, skipped ${skipped}; ${existing} had been dealt with before.`)
      }}
      onClose={onClose}
    >
      <p>Starts what has not been started of a span of the past. Safe to repeat.</p>
      <label>
        From (UTC)
        <input type="datetime-local" required value={from} onChange={(event) => setFrom(event.target.value)} />
      </label>
      <label>
        To (UTC)
        <input type="datetime-local" required value={to} onChange={(event) => setTo(event.target.value)} />
      </label>
      <label>
        While others run
        <select value={overlap} onChange={(event) => setOverlap(event.target.value)}>
          <option value="allow">all at once</option>
          <option value="bufferAll">one after the other</option>
          <option value="skip">skip</option>
        </select>
      </label>
    </Dialog>
  )
}
