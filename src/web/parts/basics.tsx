/** Small parts that all pages use. */
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { ApiError } from '../lib/api.ts'
import { ago, exactTime, time } from '../lib/format.ts'

/** Nothing is there yet; what to do next, as a command. */
export function Empty({ children, command }: { readonly children: ReactNode; readonly command?: string }) {
  return (
    <div className="empty">
      <div>{children}</div>
      {command !== undefined && <Copyable text={command} />}
    </div>
  )
}

export function Problem({ error }: { readonly error: unknown }) {
  const { message } = error as Error
  return (
    <div className="problem" role="alert">
      {message}
      {error instanceof ApiError && error.status >= 500 && <div className="mono">{error.code}</div>}
    </div>
  )
}

/** Text that a click takes into the clipboard. */
export function Copyable({ text, label }: { readonly text: string; readonly label?: string }) {
  const [copied, setCopied] = useState(false)
  return (
    <button
      type="button"
      className="plain mono"
      title={label ?? 'Copy'}
      aria-label={label ?? `Copy ${text}`}
      onClick={async () => {
        await navigator.clipboard?.writeText(text)
        setCopied(true)
        setTimeout(() => setCopied(false), 1_500)
      }}
    >
      <span className="cut">{text}</span>
      <span aria-live="polite">{copied ? 'copied' : ''}</span>
      {!copied && (
        <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="none" stroke="currentColor">
          <path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />
        </svg>
      )}
    </button>
  )
}

export function Time({ at }: { readonly at: string | number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={`${exactTime(at)}, ${ago(at)}`}>
      {time(at)}
    </time>
  )
}

/** Asks before something is done that cannot be undone; also a form, with what `children` hold. */
export function Dialog({
  title,
  action,
  danger = false,
  children,
  onDone,
  onClose,
}: {
  readonly title: string
  /** What the button says. */
  readonly action: string
  readonly danger?: boolean
  readonly children?: ReactNode
  /** What is thrown is shown, and the dialog stays. */
  readonly onDone: () => Promise<void>
  readonly onClose: () => void
}) {
  const ref = useRef<HTMLDialogElement>(null)
  const [error, setError] = useState<unknown>(null)
  const [busy, setBusy] = useState(false)
  useEffect(() => ref.current?.showModal(), [])
  return (
    <dialog ref={ref} aria-label={title} onClose={onClose}>
      <form
        method="dialog"
        className="stack"
        onSubmit={async (event) => {
          event.preventDefault()
          setBusy(true)
          setError(null)
          try {
            await onDone()
            ref.current?.close()
          } catch (failed) {
            setError(failed)
          } finally {
            setBusy(false)
          }
        }}
      >
        <h2>{title}</h2>
        {children}
        {error !== null && <Problem error={error} />}
        <div className="row">
          <button type="submit" className={danger ? 'danger' : 'primary'} disabled={busy}>
            {action}
          </button>
          <button type="button" onClick={() => ref.current?.close()}>
            Never mind
          </button>
        </div>
      </form>
    </dialog>
  )
}
