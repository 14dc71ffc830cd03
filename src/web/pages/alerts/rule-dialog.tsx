import { useState } from 'react'
import { post } from '../../lib/api.ts'
import type { AlertKind, AlertRule, AlertTest } from '../../lib/ops.ts'
import { Dialog, Problem } from '../../parts/basics.tsx'
import { inWords, kinds } from './rule.ts'
import { Tests } from './tests.tsx'

/** What stands in the fields, as text. */
type Draft = Readonly<Record<string, string>>

const common = ['name', 'description', 'severity', 'for'] as const

function draftOf(rule: AlertRule | null): Draft {
  if (rule === null) return { kind: 'failureRate' }
  const entries = Object.entries(rule).filter(([, value]) => typeof value === 'string' || typeof value === 'number')
  return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]))
}

/** Fields of other kinds that were filled in are left out. */
function ruleOf(draft: Draft, before: AlertRule | null): AlertRule {
  const kind = draft.kind as AlertKind
  const fields = [...common.map((key) => ({ key, type: 'text' })), ...kinds[kind].fields]
  const given = fields.flatMap(({ key, type }) => {
    const text = draft[key]?.trim() ?? ''
    if (text === '') return []
    return [[key, type === 'number' || (type === 'duration' && /^\d+$/.test(text)) ? Number(text) : text]]
  })
  const labels = before?.labels
  return { kind, ...Object.fromEntries(given), ...(labels === undefined ? {} : { labels }) } as unknown as AlertRule
}

/** Adds a rule, or edits one; by form, or as JSON for all that there is. */
export function RuleDialog({ rule, onClose }: { readonly rule: AlertRule | null; readonly onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>(draftOf(rule))
  const [json, setJson] = useState<string | null>(null)
  const [tests, setTests] = useState<readonly AlertTest[] | null>(null)
  const [error, setError] = useState<unknown>(null)
  const said = (): AlertRule => {
    if (json === null) return ruleOf(draft, rule)
    try {
      return JSON.parse(json) as AlertRule
    } catch (failed) {
      throw new Error(`This is no JSON yet: ${(failed as Error).message}`)
    }
  }
  const field = (key: string) => ({
    value: draft[key] ?? '',
    onChange: (event: { readonly target: { readonly value: string } }) =>
      setDraft({ ...draft, [key]: event.target.value }),
  })
  const { fields } = kinds[draft.kind as AlertKind]
  return (
    <Dialog
      title={rule === null ? 'Add a rule' : `Edit ${rule.name}`}
      action={rule === null ? 'Add' : 'Keep'}
      onDone={async () => {
        await post('/api/alerts/rules', { rule: said() })
      }}
      onClose={onClose}
    >
      {json === null ? (
        <>
          <div className="fields">
            <label className="field">
              Name
              <input required readOnly={rule !== null} {...field('name')} />
            </label>
            <label className="field">
              It fires when
              <select {...field('kind')}>
                {Object.entries(kinds).map(([kind, { name }]) => (
                  <option key={kind} value={kind}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <div className="fields">
            {fields.map(({ key, label, type, required = false, hint }) => (
              <label key={key} className="field">
                {label}
                <input
                  required={required}
                  placeholder={hint}
                  inputMode={type === 'number' ? 'decimal' : 'text'}
                  {...field(key)}
                />
              </label>
            ))}
          </div>
          <div className="fields">
            <label className="field">
              And holds for
              <input placeholder="at once" {...field('for')} />
            </label>
            <label className="field">
              Severity
              <input placeholder="warning" {...field('severity')} />
            </label>
          </div>
          <label className="field">
            What it is for, for those whom it wakes
            <input {...field('description')} />
          </label>
          <p className="muted">Fires when {inWords(ruleOf(draft, rule))}.</p>
        </>
      ) : (
        <label className="field">
          The rule, as in stet.config.ts
          <textarea rows={12} spellCheck={false} value={json} onChange={(event) => setJson(event.target.value)} />
        </label>
      )}
      <div className="row">
        <button
          type="button"
          className="plain"
          onClick={() => {
            setError(null)
            if (json === null) setJson(JSON.stringify(ruleOf(draft, rule), null, 2))
            else {
              try {
                setDraft(draftOf(said()))
                setJson(null)
              } catch (failed) {
                setError(failed)
              }
            }
          }}
        >
          {json === null ? 'as JSON' : 'as a form'}
        </button>
        <button
          type="button"
          onClick={async () => {
            setError(null)
            setTests(null)
            try {
              setTests(
                (await post<{ tests: readonly AlertTest[] }>('/api/alerts/test', { last: '7d', rule: said() })).tests,
              )
            } catch (failed) {
              setError(failed)
            }
          }}
        >
          Test against the last 7 days
        </button>
      </div>
      {error !== null && <Problem error={error} />}
      {tests !== null && <Tests tests={tests} />}
    </Dialog>
  )
}
