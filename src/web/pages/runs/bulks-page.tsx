/** Bulks: what was asked for by a filter, how it gets on, and what was refused. */
import { useQuery } from '@tanstack/react-query'
import { useAct } from '../../lib/act.ts'
import { get } from '../../lib/api.ts'
import { count } from '../../lib/format.ts'
import { useMay } from '../../lib/session.ts'
import { Empty, Problem, Time } from '../../parts/basics.tsx'
import { type Bulk, refusedOf } from './bulk.ts'
import './runs.css'

const lookMs = 1_000

export default function BulksPage() {
  const { data, error } = useQuery({
    queryKey: ['/api/bulks'],
    queryFn: () => get<{ bulks: readonly Bulk[] }>('/api/bulks', { limit: 100 }),
    // What is over does not change.
    refetchInterval: ({ state }) => (state.data?.bulks.some(goesOn) === false ? 10 * lookMs : lookMs),
  })
  return (
    <div className="stack">
      <h1>Bulks</h1>
      {error !== null && <Problem error={error} />}
      {data !== undefined && data.bulks.length === 0 && (
        <Empty command="stet cancel --workflow order --since 2h --dry-run">
          No operation was asked for by a filter yet.
        </Empty>
      )}
      {data?.bulks.map((bulk) => (
        <One key={bulk.id} bulk={bulk} />
      ))}
    </div>
  )
}

const goesOn = ({ state }: Bulk) => state === 'running' || state === 'paused'

function One({ bulk }: { readonly bulk: Bulk }) {
  const may = useMay('operate')
  const { tryTo, failed } = useAct('/api/bulks')
  const { id, operation, filter, actor, state, createdAt, reason, expected, expectedMore, examples, problem } = bulk
  const refused = refusedOf(bulk)
  const change = (what: 'cancel' | 'pause' | 'resume') => tryTo(`/api/bulks/${id}/${what}`, {})
  return (
    <section className="card stack" aria-label={`Bulk ${id}`}>
      <h2>
        {operation} <span className="muted">{state}</span>
      </h2>
      <p>
        <b>{count(bulk.done)}</b> done
        {refused > 0 && `, ${count(refused)} refused`}
        {bulk.held > 0 && `, ${count(bulk.held)} held`}, {count(bulk.seen)} seen
        {expected !== undefined && ` of ${count(expected)}${expectedMore ? ' or more' : ''}`}
      </p>
      {goesOn(bulk) && expected !== undefined && expected > 0 && (
        <progress max={expected} value={Math.min(expected, bulk.seen)} aria-label={`How far ${id} is`} />
      )}
      <p className="muted">
        by {actor} <Time at={createdAt} />
        {reason !== undefined && `: ${reason}`} · <span className="mono">{JSON.stringify(filter)}</span>
      </p>
      {problem !== undefined && <Problem error={new Error(problem)} />}
      {examples.length > 0 && (
        <details>
          <summary>Refused, the first of them</summary>
          <ul className="plain-list outcome">
            {examples.map((each) => (
              <li key={each.runId}>
                <span className="mono">{each.id}</span> <span className="muted">{each.message}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      {may && goesOn(bulk) && (
        <div className="row">
          {state === 'running' ? (
            <button type="button" onClick={() => change('pause')}>
              Pause
            </button>
          ) : (
            <button type="button" onClick={() => change('resume')}>
              Resume
            </button>
          )}
          <button type="button" className="danger" onClick={() => change('cancel')}>
            End it here
          </button>
        </div>
      )}
      {failed !== null && <Problem error={failed} />}
    </section>
  )
}
