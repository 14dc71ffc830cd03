/** Limits: how far each is used, who waits for it, and what the code says of it. */
import { useState } from 'react'
import { Link } from 'wouter'
import type { Limit, LimitTarget } from '../../../core/types.ts'
import { useAct } from '../../lib/act.ts'
import { runsHref } from '../../lib/filter.ts'
import { count, duration } from '../../lib/format.ts'
import { boundsInWords, counted, fullOf, nameOf, placeOf } from '../../lib/limits.ts'
import { useLimits } from '../../lib/ops.ts'
import { usePlace } from '../../lib/place.ts'
import { useMay } from '../../lib/session.ts'
import { Dialog, Empty, Problem } from '../../parts/basics.tsx'
import { type Mark, StateMark } from '../../parts/status.tsx'
import { LimitDialog } from './limit-dialog.tsx'

/** What waits, and what is changed elsewhere, is seen within this. */
export const everyMs = 5_000

function markOf(limit: Limit): Mark {
  if (limit.paused) return { tone: 'paused', icon: 'paused', word: 'paused' }
  const full = fullOf(limit)
  if (full === 0) return { tone: 'completed', icon: 'completed', word: 'open' }
  return {
    ...{ tone: 'retrying', icon: 'waiting' },
    word: limit.target.key === undefined ? 'full' : `${counted(full)} full`,
  }
}

export function Limits() {
  const { data, error } = useLimits(everyMs)
  const place = usePlace()
  const may = useMay('operate')
  const [asked, setAsked] = useState(false)
  const at = { queue: place.get('queue'), workflow: place.get('workflow'), key: place.get('key') }
  const isAt = (target: LimitTarget) =>
    Object.entries(placeOf(target)).every(([name, value]) => at[name as keyof typeof at] === value)
  const limits = data?.limits ?? []
  const chosen = limits.find(({ target }) => isAt(target))
  const wanted = at.queue !== null || at.workflow !== null
  const leave = () => place.set({ queue: null, workflow: null, key: null })
  return (
    <>
      <section className="panel" aria-label="Limits">
        <header>
          <h2>Limits</h2>
          {may && (
            <button type="button" className="primary" onClick={() => setAsked(true)}>
              Set a limit
            </button>
          )}
        </header>
        {error !== null && data === undefined && <Problem error={error} />}
        {data !== undefined && limits.length === 0 && (
          <Empty command="stet limit set workflow:order --key customer.id --concurrency 3">
            There are no limits: whatever is ready is claimed. A workflow has those that its options say (
            <code>concurrency</code>, <code>rateLimit</code>, <code>fairness</code>); others are set here, or by a
            command.
          </Empty>
        )}
        {limits.length > 0 && (
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>State</th>
                  <th>Limit</th>
                  <th>Lets through</th>
                  <th className="number">In hand</th>
                  <th className="number">Queued</th>
                  <th className="number">Oldest</th>
                  <th>From</th>
                </tr>
              </thead>
              <tbody>
                {limits.map((limit) => (
                  <LimitRow
                    key={JSON.stringify(limit.target)}
                    limit={limit}
                    isChosen={limit === chosen}
                    onChoose={() => (limit === chosen ? leave() : place.set(placeOf(limit.target)))}
                  />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
      {chosen !== undefined && <One key={JSON.stringify(chosen.target)} limit={chosen} />}
      {data !== undefined && wanted && chosen === undefined && (
        <Empty command="stet limit list">There is no such limit any more.</Empty>
      )}
      {asked && <LimitDialog limit={null} onClose={() => setAsked(false)} />}
    </>
  )
}

function LimitRow({
  limit,
  isChosen,
  onChoose,
}: {
  readonly limit: Limit
  readonly isChosen: boolean
  readonly onChoose: () => void
}) {
  const { target, running, queued, oldestMs, source, declared } = limit
  const name = nameOf(target)
  return (
    <tr data-limit={name}>
      <td>
        <StateMark {...markOf(limit)} />
      </td>
      <td className="name">
        <button type="button" className="plain" aria-expanded={isChosen} onClick={onChoose}>
          <b>{name}</b>
        </button>
      </td>
      <td>{boundsInWords(limit, target.key)}</td>
      <td className="number">{counted(running)}</td>
      <td className="number">{counted(queued)}</td>
      <td className="number">{oldestMs === null ? '–' : duration(oldestMs)}</td>
      <td>
        {source === 'code' ? 'the code' : 'set at run time'}
        {source === 'runtime' && declared !== null && (
          <div className="muted">the code: {boundsInWords(declared, target.key)}</div>
        )}
      </td>
    </tr>
  )
}

type Asked = 'change' | 'pause' | 'resume' | 'reset'

function One({ limit }: { readonly limit: Limit }) {
  const may = useMay('operate')
  const [asked, setAsked] = useState<Asked | null>(null)
  const { target, rate, begun, running, queued, paused, source, declared } = limit
  const { queue, workflow, key } = target
  const name = nameOf(target)
  const close = () => setAsked(null)
  return (
    <section className="panel" aria-label={`Limit of ${name}`}>
      <header>
        <h2 className="cut">{name}</h2>
        {may && (
          <span className="row">
            <button type="button" onClick={() => setAsked('change')}>
              Change
            </button>
            <button type="button" onClick={() => setAsked(paused ? 'resume' : 'pause')}>
              {paused ? 'Resume' : 'Pause'}
            </button>
            {source === 'runtime' && (
              <button type="button" className="danger" onClick={() => setAsked('reset')}>
                Reset
              </button>
            )}
          </span>
        )}
      </header>
      <div className="body stack">
        <p>
          <StateMark {...markOf(limit)} /> Lets through {boundsInWords(limit, key)}.{' '}
          <span className="muted">
            {source === 'code'
              ? 'The code says so.'
              : declared === null
                ? 'Set at run time; the code says nothing.'
                : `Set at run time; the code says: ${boundsInWords(declared, key)}.`}
          </span>
        </p>
        <p className="muted">
          {counted(running)} in hand, {counted(queued)}{' '}
          <Link href={runsHref({ status: 'pending', ...(queue === undefined ? { workflow: workflow! } : { queue }) })}>
            queued
          </Link>
          {rate !== null && begun !== null && `; ${count(begun)} of ${count(rate.limit)} have begun in this period`}. A
          run that waits for something counts for nothing meanwhile.
        </p>
        {key !== undefined && <Values limit={limit} of={key} />}
      </div>
      {asked === 'change' && <LimitDialog limit={limit} onClose={close} />}
      {(asked === 'pause' || asked === 'resume' || asked === 'reset') && (
        <Confirm what={asked} limit={limit} onClose={close} />
      )}
    </section>
  )
}

/** So many runs behind a value are counted. */
const mostBehind = 200

/** Values of the key: those that are full while runs wait, then those with the most runs in hand. */
function Values({ limit, of }: { readonly limit: Limit; readonly of: string }) {
  const { values, fullValues, full, rate } = limit
  const told = new Set(fullValues.map(({ value }) => value))
  const rows = [
    ...fullValues.map((each) => ({ ...each, isFull: true })),
    ...values
      .filter(({ value }) => !told.has(value))
      .map((each) => ({ ...each, isFull: false, queued: null, oldestMs: null })),
  ]
  if (rows.length === 0) return <Empty>Nothing is in hand, and no value is full.</Empty>
  return (
    <div className="scroll">
      <table aria-label={`Values of ${of}`}>
        <thead>
          <tr>
            <th>State</th>
            <th>{of}</th>
            <th className="number">In hand</th>
            {rate !== null && <th className="number">Begun</th>}
            <th className="number">Queued</th>
            <th className="number">Oldest</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ value, running, begun, isFull, queued, oldestMs }) => (
            <tr key={value} data-value={value}>
              <td>
                {isFull ? (
                  <StateMark tone="retrying" icon="waiting" word="full" />
                ) : (
                  <StateMark tone="completed" icon="completed" word="nobody waits" />
                )}
              </td>
              <td className="name mono">
                {value === '' ? <span className="muted">nothing stands there</span> : <bdi>{value}</bdi>}
              </td>
              <td className="number">{counted(running)}</td>
              {rate !== null && (
                <td className="number">{begun === null ? '–' : `${count(begun)} of ${count(rate.limit)}`}</td>
              )}
              <td className="number">{queued === null ? '–' : counted(queued, mostBehind)}</td>
              <td className="number">{oldestMs === null ? '–' : duration(oldestMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {full > fullValues.length && (
        <p className="muted more">
          {count(fullValues.length)} of {counted(full)} that are full.
        </p>
      )}
    </div>
  )
}

function Confirm({
  what,
  limit: { target, declared },
  onClose,
}: {
  readonly what: 'pause' | 'resume' | 'reset'
  readonly limit: Limit
  readonly onClose: () => void
}) {
  const { act } = useAct('/api/limits', '/api/queues')
  const word = { pause: 'Pause', resume: 'Resume', reset: 'Reset' }[what]
  const back =
    declared === null
      ? 'The code does not know it: it goes, and bounds nothing any more.'
      : `Back to what the code says: ${boundsInWords(declared, target.key)}.`
  return (
    <Dialog
      title={`${word} ${nameOf(target)}`}
      action={word}
      danger={what === 'reset'}
      onDone={async () => {
        await act(`/api/limits/${what}`, { target })
      }}
      onClose={onClose}
    >
      <p>
        {what === 'pause' && 'Nothing that it is for is claimed until it is resumed. Runs in hand go on.'}
        {what === 'resume' && 'What it is for is claimed again, within its bounds.'}
        {what === 'reset' && back}
      </p>
    </Dialog>
  )
}
