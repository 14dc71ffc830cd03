/** What can be done to the run, each after a question. */
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useLocation } from 'wouter'
import { isClosed } from '../../../../core/statuses.ts'
import { get, post, runPath } from '../../../lib/api.ts'
import { runHref } from '../../../lib/find-run.ts'
import { useSession } from '../../../lib/session.ts'
import type { Named } from '../../../lib/types.ts'
import { Dialog } from '../../../parts/basics.tsx'
import type { Summary } from '../model/run-data.ts'
import { typedJson } from './json.ts'
import './actions.css'

type Asked = 'signal' | 'pause' | 'cancel' | 'terminate' | 'resume' | 'retry' | 'move'

export function useMayOperate(): boolean | null {
  const session = useSession()
  return session === undefined ? null : session.role !== 'view'
}

export function Actions({
  summary,
  mayOperate,
  past,
  waitsFor,
  onFork,
}: {
  readonly summary: Summary
  readonly mayOperate: boolean | null
  /** The run is shown as it was. */
  readonly past: boolean
  /** Names of signals that it waits for. */
  readonly waitsFor: readonly string[]
  readonly onFork: () => void
}) {
  const [asked, setAsked] = useState<Asked | null>(null)
  const { status } = summary
  const open = !isClosed(status)
  const may = mayOperate === true && !past
  const reason = past ? 'go back to now first' : mayOperate === false ? 'your role may only look' : undefined
  const button = (what: Asked, text: string, danger = false) => (
    <button
      key={what}
      type="button"
      className={danger ? 'danger' : ''}
      disabled={!may}
      title={reason}
      onClick={() => setAsked(what)}
    >
      {text}
    </button>
  )
  const close = () => setAsked(null)
  return (
    <>
      {open && button('signal', 'Signal…')}
      {(status === 'blocked' || status === 'paused') && button('resume', 'Resume…')}
      {open && status !== 'paused' && status !== 'blocked' && button('pause', 'Pause…')}
      {status === 'failed' && button('retry', 'Retry…')}
      {open && button('move', 'Move…')}
      <button type="button" disabled={!may} title={reason} onClick={onFork}>
        Fork…
      </button>
      {open && button('cancel', 'Cancel…', true)}
      {open && button('terminate', 'Terminate…', true)}
      {asked === 'signal' && <SignalDialog summary={summary} waitsFor={waitsFor} onClose={close} />}
      {asked === 'move' && <MoveDialog summary={summary} onClose={close} />}
      {asked === 'pause' && (
        <ReasonDialog summary={summary} verb="pause" title="Pause this run?" onClose={close}>
          What executes comes to its end; nothing new begins until it is resumed.
        </ReasonDialog>
      )}
      {asked === 'cancel' && (
        <ReasonDialog summary={summary} verb="cancel" title="Cancel this run?" onClose={close}>
          It is asked to end, and does its cleanup first.
        </ReasonDialog>
      )}
      {asked === 'terminate' && (
        <ReasonDialog summary={summary} verb="terminate" title="Terminate this run?" onClose={close}>
          It ends at once. Its cleanup is not done; children end as their policy says.
        </ReasonDialog>
      )}
      {asked === 'resume' && (
        <Dialog
          title="Resume this run?"
          action="Resume"
          onClose={close}
          onDone={async () => void (await post(runPath(summary.runId, '/resume'), {}))}
        >
          <p>
            {status === 'paused'
              ? 'It goes on where it was.'
              : 'A worker tries it again. If its code does not fit the history still, it is blocked again.'}
          </p>
        </Dialog>
      )}
      {asked === 'retry' && <RetryDialog summary={summary} onClose={close} />}
    </>
  )
}

const verbs = { pause: 'Pause the run', cancel: 'Cancel the run', terminate: 'Terminate the run' } as const

function ReasonDialog({
  summary,
  verb,
  title,
  children,
  onClose,
}: {
  readonly summary: Summary
  readonly verb: keyof typeof verbs
  readonly title: string
  readonly children: ReactNode
  readonly onClose: () => void
}) {
  const [reason, setReason] = useState('')
  return (
    <Dialog
      title={title}
      action={verbs[verb]}
      danger={verb !== 'pause'}
      onClose={onClose}
      onDone={async () => void (await post(runPath(summary.runId, `/${verb}`), reason === '' ? {} : { reason }))}
    >
      <p>{children}</p>
      <label className="field">
        Reason (it goes on record)
        <input value={reason} maxLength={1_000} onChange={(event) => setReason(event.target.value)} />
      </label>
    </Dialog>
  )
}

function SignalDialog({
  summary,
  waitsFor,
  onClose,
}: {
  readonly summary: Summary
  readonly waitsFor: readonly string[]
  readonly onClose: () => void
}) {
  const [name, setName] = useState(waitsFor[0] ?? '')
  const [message, setMessage] = useState('null')
  return (
    <Dialog
      title="Send a signal"
      action="Send"
      onClose={onClose}
      onDone={async () =>
        void (await post(runPath(summary.runId, '/signal'), { name, message: typedJson(message, 'message') }))
      }
    >
      <label className="field">
        Name
        <input value={name} required list="signals" onChange={(event) => setName(event.target.value)} />
      </label>
      <datalist id="signals">
        {waitsFor.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <label className="field">
        Message (JSON)
        <textarea rows={5} value={message} spellCheck={false} onChange={(event) => setMessage(event.target.value)} />
      </label>
    </Dialog>
  )
}

function MoveDialog({ summary, onClose }: { readonly summary: Summary; readonly onClose: () => void }) {
  const known = useQuery({
    queryKey: ['workflows'],
    queryFn: () =>
      get<{ workflows: readonly { name: string; versions: number[]; served: number[] }[] }>('/api/workflows'),
  })
  const found = known.data?.workflows.find(({ name }) => name === summary.workflow)
  const [version, setVersion] = useState('')
  return (
    <Dialog
      title="Move it to another version of its code"
      action="Move"
      onClose={onClose}
      onDone={async () => void (await post(runPath(summary.runId, '/move'), { version: Number(version) }))}
    >
      <p>
        It is at version {summary.version}.{' '}
        {found !== undefined && `Workers have: ${found.served.length === 0 ? 'none' : found.served.join(', ')}.`} If the
        other code does not fit its history, it is blocked.
      </p>
      <label className="field">
        Version
        <input
          type="number"
          min={1}
          step={1}
          required
          value={version}
          onChange={(event) => setVersion(event.target.value)}
        />
      </label>
    </Dialog>
  )
}

function RetryDialog({ summary, onClose }: { readonly summary: Summary; readonly onClose: () => void }) {
  const [, go] = useLocation()
  const client = useQueryClient()
  return (
    <Dialog
      title="Try this run again?"
      action="Retry"
      onClose={onClose}
      onDone={async () => {
        const made = await post<Named>(runPath(summary.runId, '/retry'), {})
        await client.invalidateQueries({ queryKey: ['forks', summary.runId] })
        go(runHref(made.runId))
      }}
    >
      <p>
        A new run under the same id begins with what is on record up to the last failure, and does that anew. This run
        stays as it is.
      </p>
    </Dialog>
  )
}
