import { useId, useState } from 'react'
import type { Limit, LimitTarget } from '../../../core/types.ts'
import { useAct } from '../../lib/act.ts'
import { boundsInWords, nameOf, periodText, placeOf } from '../../lib/limits.ts'
import { useLimits, useQueues } from '../../lib/ops.ts'
import { usePlace } from '../../lib/place.ts'
import { useWorkflows } from '../../lib/workflows.ts'
import { Dialog } from '../../parts/basics.tsx'

/** What stands in the fields, as text. */
interface Draft {
  readonly scope: 'workflow' | 'queue'
  readonly name: string
  readonly key: string
  readonly concurrency: string
  readonly begun: string
  readonly period: string
}

function draftOf(limit: Limit | null): Draft {
  if (limit === null) return { scope: 'workflow', name: '', key: '', concurrency: '', begun: '', period: '1s' }
  const { target, concurrency, rate } = limit
  return {
    scope: target.queue === undefined ? 'workflow' : 'queue',
    name: target.queue ?? target.workflow ?? '',
    key: target.key ?? '',
    concurrency: concurrency === null ? '' : String(concurrency),
    begun: rate === null ? '' : String(rate.limit),
    period: rate === null ? '1s' : periodText(rate.periodMs),
  }
}

function targetOf({ scope, name, key }: Draft): LimitTarget {
  const by = key === '' ? {} : { key }
  return scope === 'queue' ? { queue: name, ...by } : { workflow: name, ...by }
}

/** Sets a limit, or changes one. The bounds of the fields are all that it has then: what is empty bounds nothing. */
export function LimitDialog({ limit, onClose }: { readonly limit: Limit | null; readonly onClose: () => void }) {
  const { act } = useAct('/api/limits', '/api/queues')
  const place = usePlace()
  const workflows = useWorkflows()
  const queues = useQueues().data?.queues ?? []
  const limits = useLimits().data?.limits ?? []
  const id = useId()
  const [draft, setDraft] = useState(draftOf(limit))
  const field = (key: keyof Draft) => ({
    value: draft[key],
    onChange: (event: { readonly target: { readonly value: string } }) =>
      setDraft({ ...draft, [key]: event.target.value }),
  })
  const names = draft.scope === 'queue' ? queues.map(({ queue }) => queue) : workflows.map(({ name }) => name)
  const before = limits.find(({ target }) => nameOf(target) === nameOf(targetOf(draft)))
  return (
    <Dialog
      title={limit === null ? 'Set a limit' : `Change ${nameOf(limit.target)}`}
      action={limit === null ? 'Set' : 'Change'}
      onDone={async () => {
        const { concurrency, begun, period, key } = draft
        if (concurrency === '' && begun === '' && key === '') {
          throw new Error('Expected how many at once, how many begun in a period, or both.')
        }
        const target = targetOf(draft)
        await act('/api/limits', {
          target,
          concurrency: concurrency === '' ? null : Number(concurrency),
          rate: begun === '' ? null : { limit: Number(begun), period },
        })
        place.set(placeOf(target))
      }}
      onClose={onClose}
    >
      {limit === null && (
        <>
          <div className="fields">
            <label className="field">
              Of a
              <select {...field('scope')}>
                <option value="workflow">workflow</option>
                <option value="queue">queue</option>
              </select>
            </label>
            <label className="field">
              Its name
              <input required list={`${id}-names`} autoComplete="off" {...field('name')} />
            </label>
            <datalist id={`${id}-names`}>
              {names.map((name) => (
                <option key={name} value={name} />
              ))}
            </datalist>
          </div>
          <label className="field">
            For each value of (a path into the input; empty: all runs together)
            <input placeholder="customer.id" maxLength={200} autoComplete="off" {...field('key')} />
          </label>
        </>
      )}
      <div className="fields">
        <label className="field">
          In hand at once
          <input type="number" min={0} step={1} placeholder="any number" {...field('concurrency')} />
        </label>
        <label className="field">
          Begun in a period
          <input type="number" min={1} step={1} placeholder="any number" {...field('begun')} />
        </label>
        <label className="field">
          The period
          <input required={draft.begun !== ''} placeholder="1s, 5m, 1h" {...field('period')} />
        </label>
      </div>
      <p className="muted">
        Holds for all that is claimed from now on, without a restart; runs in hand go on, and count.
        {limit === null &&
          before !== undefined &&
          ` It lets through ${boundsInWords(before, before.target.key)} now; this takes the place of that.`}
        {draft.concurrency === '0' && ' With 0 nothing is claimed.'}
        {limit !== null &&
          limit.declared !== null &&
          ` In place of what the code says (${boundsInWords(limit.declared, limit.target.key)}), until it is reset.`}
      </p>
    </Dialog>
  )
}
