import { useId, useState } from 'react'
import { useLocation } from 'wouter'
import { parseJson } from '../../core/json.ts'
import { post } from '../lib/api.ts'
import { runHref } from '../lib/find-run.ts'
import type { Named } from '../lib/types.ts'
import { useWorkflows } from '../lib/workflows.ts'
import { Dialog, Problem } from './basics.tsx'

interface Draft {
  readonly workflow: string
  readonly input: string
  readonly id: string
  readonly queue: string
  readonly delay: string
  readonly attributes: string
}

const nothing: Draft = { workflow: '', input: '', id: '', queue: '', delay: '', attributes: '' }

/** What is wrong with a text that is to be JSON; null: nothing, or there is no text. */
function problemOf(text: string, isObject = false): string | null {
  if (text.trim() === '') return null
  try {
    const value: unknown = parseJson(text)
    const fits = !isObject || (typeof value === 'object' && value !== null && !Array.isArray(value))
    return fits ? null : 'Expected an object, as {"tenant": "acme"}.'
  } catch (error) {
    return `This is no JSON yet: ${(error as Error).message}`
  }
}

async function start({ workflow, input, attributes, id, queue, delay }: Draft): Promise<Named> {
  const wrong = problemOf(input) ?? problemOf(attributes, true)
  if (wrong !== null) throw new Error(wrong)
  const given = Object.entries({ id, queue, delay }).filter(([, text]) => text.trim() !== '')
  return post<Named>('/api/runs', {
    workflow,
    ...Object.fromEntries(given),
    ...(input.trim() === '' ? {} : { input: parseJson(input) }),
    ...(attributes.trim() === '' ? {} : { attributes: parseJson(attributes) }),
  })
}

/** Starts a run and goes to its page. */
export function StartDialog({ workflow = '', onClose }: { readonly workflow?: string; readonly onClose: () => void }) {
  const [, go] = useLocation()
  const [draft, setDraft] = useState<Draft>({ ...nothing, workflow })
  return (
    <Dialog
      title="Start a run"
      action="Start"
      onClose={onClose}
      onDone={async () => go(runHref((await start(draft)).runId))}
    >
      <Fields draft={draft} onChange={setDraft} />
    </Dialog>
  )
}

/** The same as a part of a page. */
export function StartForm() {
  const [, go] = useLocation()
  const [draft, setDraft] = useState(nothing)
  const [error, setError] = useState<unknown>(null)
  return (
    <form
      className="stack"
      aria-label="Start a run"
      onSubmit={async (event) => {
        event.preventDefault()
        try {
          const { runId } = await start(draft)
          go(runHref(runId))
        } catch (failed) {
          setError(failed)
        }
      }}
    >
      <Fields draft={draft} onChange={setDraft} />
      {error !== null && <Problem error={error} />}
      <div>
        <button type="submit" className="primary">
          Start
        </button>
      </div>
    </form>
  )
}

function Fields({ draft, onChange }: { readonly draft: Draft; readonly onChange: (draft: Draft) => void }) {
  const workflows = useWorkflows()
  const list = useId()
  const field = (key: keyof Draft) => ({
    value: draft[key],
    onChange: (event: { readonly target: { readonly value: string } }) =>
      onChange({ ...draft, [key]: event.target.value }),
  })
  const known = workflows.find(({ name }) => name === draft.workflow)
  const inputProblem = problemOf(draft.input)
  const attributesProblem = problemOf(draft.attributes, true)
  return (
    <>
      <label className="field">
        Workflow
        <input required list={list} autoComplete="off" spellCheck={false} {...field('workflow')} />
      </label>
      <datalist id={list}>
        {workflows.map(({ name }) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {draft.workflow !== '' && known?.served.length === 0 && (
        <p className="muted">No live worker has this workflow: the run will wait for one.</p>
      )}
      <label className="field">
        Input, as JSON (empty: none)
        <textarea rows={5} spellCheck={false} aria-invalid={inputProblem !== null} {...field('input')} />
      </label>
      {inputProblem !== null && <p className="wrong">{inputProblem}</p>}
      <div className="fields">
        <label className="field">
          Id (empty: a new one)
          <input autoComplete="off" {...field('id')} />
        </label>
        <label className="field">
          Queue (empty: default)
          <input autoComplete="off" {...field('queue')} />
        </label>
        <label className="field">
          Delay, as 30s or 2h
          <input autoComplete="off" {...field('delay')} />
        </label>
      </div>
      <label className="field">
        Search attributes, as JSON
        <input
          autoComplete="off"
          spellCheck={false}
          aria-invalid={attributesProblem !== null}
          {...field('attributes')}
        />
      </label>
      {attributesProblem !== null && <p className="wrong">{attributesProblem}</p>}
    </>
  )
}
