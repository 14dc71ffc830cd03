import { type ReactNode, useEffect, useRef, useState } from 'react'
import { count } from '../../lib/format.ts'
import { Problem } from '../../parts/basics.tsx'
import { Status } from '../../parts/status.tsx'
import { type BulkAction, doMany, nothingYet, type Progress, type Target } from './bulk.ts'

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
  delete: {
    verb: 'Delete',
    past: 'deleted',
    means: 'Closed runs go, with all that is kept of them. What is deleted is gone.',
  },
  fork: { verb: 'Fork', past: 'forked', means: 'A new run of each, which shares its history up to a place.' },
}

/** What may be given a reason. */
const reasoned: readonly BulkAction[] = ['cancel', 'pause', 'terminate']
/** What ends runs. */
const final: readonly BulkAction[] = ['cancel', 'terminate', 'delete']

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
  const [progress, setProgress] = useState<Progress>(nothingYet)
  const [error, setError] = useState<unknown>(null)
  const [reason, setReason] = useState('')
  const [at, setAt] = useState('last-failure')
  const [version, setVersion] = useState('')
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const { verb, past, means } = says[action]
  const body = {
    ...(reasoned.includes(action) && reason !== '' ? { reason } : {}),
    ...(action === 'fork' ? { at: /^\d+$/.test(at) ? Number(at) : at } : {}),
    ...(action === 'fork' && version !== '' ? { version: Number(version) } : {}),
  }
  const go = async (dryRun: boolean) => {
    abort.current = new AbortController()
    const { signal } = abort.current
    setError(null)
    setPhase(dryRun ? 'looking' : 'doing')
    setProgress(nothingYet)
    acted.current ||= !dryRun
    try {
      setProgress(await doMany(action, target, body, { dryRun, signal, told: setProgress }))
      setPhase(dryRun ? 'planned' : 'over')
    } catch (failed) {
      setError(failed)
      setPhase(dryRun ? 'asking' : 'over')
    }
  }
  const { done, failed, count: n, not, more, of } = progress
  const busy = phase === 'looking' || phase === 'doing'
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
              void go(true)
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
                {phase === 'looking' && `Looking: ${count(n + not)} runs so far…`}
                {phase === 'planned' &&
                  `${count(n)}${more ? ' or more' : ''} ${n === 1 && !more ? 'run' : 'runs'} would be ${past}.`}
                {phase === 'doing' && `${count(n)} ${past} so far…`}
                {phase === 'over' && `${count(n)} ${past}${more ? '; then it was stopped' : ''}.`}
              </b>{' '}
              {not > 0 && `${count(not)} ${phase === 'looking' || phase === 'planned' ? 'cannot be' : 'were not'}.`}
            </p>
            {of !== null && of > 0 && busy && (
              <progress max={of} value={Math.min(of, n + not)} aria-label="How far it is" />
            )}
            {'filter' in target && phase === 'doing' && (
              <p className="muted">Workers do it, part by part. It goes on when this is closed; Stop ends it.</p>
            )}
            {failed.length > 0 && (
              <Listed title={phase === 'planned' ? 'Left out' : 'Not done'} total={not}>
                {failed.slice(0, listed).map((each) => (
                  <li key={each.runId}>
                    <span className="mono">{each.id}</span> <span className="muted">{each.message}</span>
                  </li>
                ))}
              </Listed>
            )}
            {done.length > 0 && (
              <Listed title={phase === 'looking' || phase === 'planned' ? 'Would be done' : 'Done'} total={n}>
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
              {phase === 'planned' && n > 0 && (
                <button
                  type="button"
                  className={final.includes(action) ? 'danger' : 'primary'}
                  onClick={() => go(false)}
                >
                  {verb} {more ? 'all that match' : `${count(n)} ${n === 1 ? 'run' : 'runs'}`}
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
                phase !== 'looking' && <Never dialog={dialog} busy={phase === 'doing'} />
              )}
            </div>
          </>
        )}
        {error !== null && <Problem error={error} />}
      </div>
    </dialog>
  )
}

function Never({
  dialog,
  busy = false,
}: {
  readonly dialog: React.RefObject<HTMLDialogElement | null>
  readonly busy?: boolean
}) {
  return (
    <button type="button" onClick={() => dialog.current?.close()}>
      {busy ? 'Close, and let it go on' : 'Never mind'}
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
