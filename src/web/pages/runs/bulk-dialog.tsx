import { type ReactNode, useEffect, useRef, useState } from 'react'
import { count } from '../../lib/format.ts'
import { Problem } from '../../parts/basics.tsx'
import { Status } from '../../parts/status.tsx'
import { type BulkAction, doMany, type Progress, type Target } from './bulk.ts'

const says: Readonly<Record<BulkAction, { readonly verb: string; readonly past: string; readonly means: string }>> = {
  cancel: { verb: 'Cancel', past: 'asked to cancel', means: 'Open runs are asked to end; their cleanup runs.' },
  pause: {
    verb: 'Pause',
    past: 'asked to pause',
    means: 'Open runs begin nothing new, until they are resumed; steps that run end.',
  },
  resume: { verb: 'Resume', past: 'resumed', means: 'Paused runs go on, blocked ones try again.' },
  terminate: { verb: 'Terminate', past: 'terminated', means: 'Open runs end at once, without their cleanup.' },
  retry: {
    verb: 'Retry',
    past: 'tried again',
    means: 'Each failed run goes on from its last failure, as a new run under the same id.',
  },
  fork: { verb: 'Fork', past: 'forked', means: 'A new run of each, which shares its history up to a place.' },
}

/** What may be given a reason. */
const reasoned: readonly BulkAction[] = ['cancel', 'pause', 'terminate']
/** What ends runs. */
const final: readonly BulkAction[] = ['cancel', 'terminate']

/** So many are looked at by a dry run before it asks. */
const looked = 500
const listed = 100

type Phase = 'asking' | 'looking' | 'planned' | 'doing' | 'over'

/** Shows what would be done, then does it. */
export function BulkDialog({
  action,
  target,
  what,
  onClose,
}: {
  readonly action: BulkAction
  readonly target: Target
  /** `3 chosen runs`, `all runs that match status:failed` */
  readonly what: string
  /** `acted`: something was done. */
  readonly onClose: (acted: boolean) => void
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const abort = useRef(new AbortController())
  const acted = useRef(false)
  const [phase, setPhase] = useState<Phase>('asking')
  const [progress, setProgress] = useState<Progress>({ done: [], failed: [], more: true })
  const [error, setError] = useState<unknown>(null)
  const [reason, setReason] = useState('')
  const [at, setAt] = useState('last-failure')
  const [version, setVersion] = useState('')
  useEffect(() => {
    dialog.current?.showModal()
    // What is under way ends with its request.
    return () => abort.current.abort()
  }, [])
  const { verb, past, means } = says[action]
  const body = {
    ...(reasoned.includes(action) && reason !== '' ? { reason } : {}),
    ...(action === 'fork' ? { at: /^\d+$/.test(at) ? Number(at) : at } : {}),
    ...(action === 'fork' && version !== '' ? { version: Number(version) } : {}),
  }
  const go = async (dryRun: boolean, limit: number) => {
    abort.current = new AbortController()
    const { signal } = abort.current
    setError(null)
    setPhase(dryRun ? 'looking' : 'doing')
    setProgress({ done: [], failed: [], more: true })
    acted.current ||= !dryRun
    try {
      setProgress(await doMany(action, target, body, { dryRun, limit, signal, told: setProgress }))
      setPhase(dryRun ? 'planned' : 'over')
    } catch (failed) {
      setError(failed)
      setPhase(dryRun ? 'asking' : 'over')
    }
  }
  const { done, failed, more } = progress
  const busy = phase === 'looking' || phase === 'doing'
  const n = `${count(done.length)}${more ? ' or more' : ''}`
  return (
    <dialog ref={dialog} className="bulk" aria-label={`${verb} many runs`} onClose={() => onClose(acted.current)}>
      <div className="stack">
        <h2>
          {verb}: {what}
        </h2>
        <p className="muted">{means}</p>
        {phase === 'asking' && (
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault()
              void go(true, looked)
            }}
          >
            {reasoned.includes(action) && (
              <label className="field">
                Why (the runs are told)
                <input value={reason} maxLength={1_000} onChange={(event) => setReason(event.target.value)} />
              </label>
            )}
            {action === 'fork' && (
              <>
                <label className="field">
                  What runs anew first: a step's key, the number of an event, or last-failure
                  <input required value={at} onChange={(event) => setAt(event.target.value)} />
                </label>
                <label className="field">
                  Version of the code (as it was)
                  <input
                    inputMode="numeric"
                    pattern="\d*"
                    value={version}
                    onChange={(e) => setVersion(e.target.value)}
                  />
                </label>
              </>
            )}
            <div className="row">
              <button type="submit" className="primary">
                Show what would be done
              </button>
              <Never dialog={dialog} />
            </div>
          </form>
        )}
        {phase !== 'asking' && (
          <>
            <p role="status">
              <b>
                {phase === 'looking' && `Looking: ${count(done.length + failed.length)} runs so far…`}
                {phase === 'planned' && `${n} ${done.length === 1 && !more ? 'run' : 'runs'} would be ${past}.`}
                {phase === 'doing' && `${count(done.length)} ${past} so far…`}
                {phase === 'over' && `${count(done.length)} ${past}${more ? '; then it was stopped' : ''}.`}
              </b>{' '}
              {failed.length > 0 &&
                `${count(failed.length)} ${phase === 'looking' || phase === 'planned' ? 'cannot be' : 'were not'}.`}
            </p>
            {'runs' in target && busy && (
              <progress max={target.runs.length} value={done.length + failed.length} aria-label="How far it is" />
            )}
            {failed.length > 0 && (
              <Listed title={phase === 'planned' ? 'Left out' : 'Not done'} total={failed.length}>
                {failed.slice(0, listed).map((each) => (
                  <li key={each.runId}>
                    <span className="mono">{each.id}</span> <span className="muted">{each.message}</span>
                  </li>
                ))}
              </Listed>
            )}
            {done.length > 0 && (
              <Listed title={phase === 'looking' || phase === 'planned' ? 'Would be done' : 'Done'} total={done.length}>
                {done.slice(0, listed).map((each) => (
                  <li key={each.runId} className="row">
                    <Status status={each.status} /> <span className="mono">{each.id}</span>
                    <span className="muted">
                      {each.workflow}
                      {each.kept !== undefined && `, keeps ${count(each.kept)} events`}
                    </span>
                  </li>
                ))}
              </Listed>
            )}
            <div className="row">
              {phase === 'planned' && done.length > 0 && (
                <button
                  type="button"
                  className={final.includes(action) ? 'danger' : 'primary'}
                  onClick={() => go(false, Number.POSITIVE_INFINITY)}
                >
                  {verb} {more ? 'all that match' : `${count(done.length)} ${done.length === 1 ? 'run' : 'runs'}`}
                </button>
              )}
              {phase === 'planned' && more && (
                <button type="button" onClick={() => go(true, done.length + failed.length + looked)}>
                  Look further
                </button>
              )}
              {phase === 'doing' && (
                <button type="button" onClick={() => abort.current.abort()}>
                  Stop
                </button>
              )}
              {phase === 'over' ? (
                <button type="button" className="primary" onClick={() => dialog.current?.close()}>
                  Close
                </button>
              ) : (
                !busy && <Never dialog={dialog} />
              )}
            </div>
          </>
        )}
        {error !== null && <Problem error={error} />}
      </div>
    </dialog>
  )
}

function Never({ dialog }: { readonly dialog: React.RefObject<HTMLDialogElement | null> }) {
  return (
    <button type="button" onClick={() => dialog.current?.close()}>
      Never mind
    </button>
  )
}

function Listed({
  title,
  total,
  children,
}: {
  readonly title: string
  readonly total: number
  readonly children: ReactNode
}) {
  return (
    <section aria-label={title}>
      <h3>
        {title} <span className="muted">{count(total)}</span>
      </h3>
      <ul className="plain-list outcome">{children}</ul>
      {total > listed && <p className="muted">and {count(total - listed)} more</p>}
    </section>
  )
}
