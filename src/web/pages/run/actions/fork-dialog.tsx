import { useQueryClient } from '@tanstack/react-query'
import { useId, useMemo, useState } from 'react'
import { Link } from 'wouter'
import { get, post, runPath } from '../../../lib/api.ts'
import { runHref } from '../../../lib/find-run.ts'
import { count } from '../../../lib/format.ts'
import type { HistoryPage } from '../../../lib/types.ts'
import { Dialog, Problem } from '../../../parts/basics.tsx'
import { cutName } from '../graph/node.tsx'
import { omittedBytes } from '../model/events.ts'
import type { RunModel } from '../model/model.ts'
import type { Summary } from '../model/run-data.ts'
import { typedJson } from './json.ts'

export interface Forked {
  readonly id: string
  readonly runId: string
  readonly kept: number
  readonly of: number
  readonly anew: string | null
}

interface Edit {
  readonly n: number
  readonly key: string
  readonly text: string
}

/** How many steps are offered by name; any can be typed. */
const maxOffered = 500

/**
 * A fork from a place, with other values: of the input, and of results of steps that the new run keeps.
 */
export function ForkDialog({
  summary,
  model,
  from,
  onMade,
  onClose,
}: {
  readonly summary: Summary
  readonly model: RunModel
  /** The key of a step, or the number of an event. Null: to be chosen. */
  readonly from: string | number | null
  readonly onMade: (forked: Forked) => void
  readonly onClose: () => void
}) {
  const client = useQueryClient()
  const [at, setAt] = useState(from === null ? (summary.status === 'failed' ? 'last-failure' : '') : String(from))
  const [input, setInput] = useState<string | null>(null)
  const [edits, setEdits] = useState<readonly Edit[]>([])
  const [children, setChildren] = useState('rerun')
  const [signals, setSignals] = useState('redeliver')
  const [id, setId] = useState('')
  const [plan, setPlan] = useState<Forked | null>(null)
  const [problem, setProblem] = useState<unknown>(null)
  const listId = useId()
  const settled = useMemo(
    () => model.steps.filter(({ kind, endedAt }) => endedAt !== null && (kind === 'step' || kind === 'transaction')),
    [model],
  )
  const hasChildren = model.steps.some(({ kind }) => kind === 'child')

  const body = (dryRun: boolean) => {
    const place = /^\d+$/.test(at) && !model.byKey.has(at) ? Number(at) : at
    const set = Object.fromEntries(
      edits.filter(({ key }) => key !== '').map(({ key, text }) => [key, typedJson(text, key)]),
    )
    return {
      ...(at === '' ? {} : { at: place }),
      ...(input === null ? {} : { input: typedJson(input, 'input') }),
      ...(Object.keys(set).length === 0 ? {} : { set }),
      ...(hasChildren ? { children } : {}),
      ...(signals === 'redeliver' ? {} : { signals }),
      ...(id === '' ? {} : { id }),
      ...(dryRun ? { dryRun } : {}),
    }
  }
  const look = async () => {
    setProblem(null)
    setPlan(null)
    try {
      setPlan(await post<Forked>(runPath(summary.runId, '/fork'), body(true)))
    } catch (error) {
      setProblem(error)
    }
  }
  const change = (n: number, next: Partial<Edit>) =>
    setEdits(edits.map((each) => (each.n === n ? { ...each, ...next } : each)))
  const read = async (seq: number, field: string): Promise<string> => {
    const brief = model.events[seq - 1]?.json.data?.[field]
    if (omittedBytes(brief) === null) return pretty(brief)
    const page = await get<HistoryPage>(runPath(summary.runId, '/history'), { after: seq - 1, limit: 1 })
    return pretty(page.events[0]?.data?.[field])
  }
  const choose = async (n: number, key: string) => {
    change(n, { key })
    const step = model.byKey.get(key)
    const end = step?.events.map((i) => model.events[i]!.json).find(({ type }) => type === 'StepCompleted')
    const text = end === undefined ? 'null' : await read(end.seq, 'output').catch(() => 'null')
    setEdits((now) => now.map((each) => (each.n === n ? { ...each, key, text } : each)))
  }

  return (
    <Dialog
      title="Fork this run"
      action="Fork"
      onClose={onClose}
      onDone={async () => {
        const made = await post<Forked>(runPath(summary.runId, '/fork'), body(false))
        await client.invalidateQueries({ queryKey: ['forks', summary.runId] })
        onMade(made)
      }}
    >
      <p className="muted">
        A new run begins with a copy of the history up to a place, and goes on from there. This run stays as it is.
      </p>
      <div className="fork-form">
        <label className="field">
          What runs anew first: a step, the number of an event, or last-failure
          <input
            value={at}
            list={listId}
            maxLength={300}
            placeholder={edits.length > 0 ? 'what comes behind the edited steps' : 'charge'}
            onChange={(event) => setAt(event.target.value)}
          />
        </label>
        <datalist id={listId}>
          {model.events.some(({ json }) => json.type === 'RunFailed') && <option value="last-failure" />}
          {model.steps.slice(0, maxOffered).map(({ key }) => (
            <option key={key} value={key.slice(0, 300)} />
          ))}
        </datalist>
        {input === null ? (
          <button
            type="button"
            className="small"
            onClick={async () => setInput(await read(1, 'input').catch(() => 'null'))}
          >
            Edit the input…
          </button>
        ) : (
          <label className="field">
            Input (JSON)
            <textarea rows={5} value={input} spellCheck={false} onChange={(event) => setInput(event.target.value)} />
          </label>
        )}
        {edits.map(({ n, key, text }) => (
          <fieldset key={n} className="edit">
            <legend>Result of a step</legend>
            <select aria-label="Step" value={key} onChange={(event) => choose(n, event.target.value)}>
              <option value="">which step</option>
              {settled.slice(0, maxOffered).map((step) => (
                <option key={step.key} value={step.key}>
                  {cutName(step.key)}
                </option>
              ))}
            </select>
            <textarea
              aria-label="Result (JSON)"
              rows={4}
              value={text}
              spellCheck={false}
              onChange={(event) => change(n, { text: event.target.value })}
            />
            <button type="button" className="small" onClick={() => setEdits(edits.filter((each) => each.n !== n))}>
              As it was
            </button>
          </fieldset>
        ))}
        {settled.length > 0 && (
          <button
            type="button"
            className="small"
            onClick={() => setEdits([...edits, { n: (edits.at(-1)?.n ?? 0) + 1, key: '', text: 'null' }])}
          >
            Edit the result of a step…
          </button>
        )}
        <div className="row">
          {hasChildren && (
            <label className="field">
              Children that are open there
              <select value={children} onChange={(event) => setChildren(event.target.value)}>
                <option value="rerun">start anew</option>
                <option value="keep">take over</option>
                <option value="cancel">cancel, and start anew</option>
              </select>
            </label>
          )}
          <label className="field">
            Signals that came behind it
            <select value={signals} onChange={(event) => setSignals(event.target.value)}>
              <option value="redeliver">deliver again</option>
              <option value="drop">leave out</option>
            </select>
          </label>
          <label className="field">
            Id (its own unless given)
            <input value={id} maxLength={300} onChange={(event) => setId(event.target.value)} />
          </label>
        </div>
        <div className="row">
          <button type="button" className="small" onClick={look}>
            What would it keep?
          </button>
          {plan !== null && <PlanText plan={plan} />}
        </div>
        {problem !== null && <Problem error={problem} />}
      </div>
    </Dialog>
  )
}

const pretty = (value: unknown): string => JSON.stringify(value, null, 2) ?? 'null'

function PlanText({ plan: { kept, of, anew } }: { readonly plan: Forked }) {
  return (
    <span role="status">
      It keeps {count(kept)} of {count(of)} events
      {anew === null ? '' : '; first anew: '}
      {anew !== null && <bdi>{cutName(anew)}</bdi>}
    </span>
  )
}

/** Says that it was made, with the way there. */
export function ForkedNote({ forked, onClose }: { readonly forked: Forked; readonly onClose: () => void }) {
  return (
    <div className="forked" role="status">
      <span className="grow">
        Forked: <Link href={runHref(forked.runId)}>open the new run {forked.runId}</Link>. <PlanText plan={forked} />.
      </span>
      <button type="button" className="plain small" aria-label="Close" onClick={onClose}>
        ✕
      </button>
    </div>
  )
}
