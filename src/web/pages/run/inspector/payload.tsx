import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { get, runPath } from '../../../lib/api.ts'
import { bytes } from '../../../lib/format.ts'
import type { ErrorJson, EventJson, HistoryPage } from '../../../lib/types.ts'
import { Copyable, Problem } from '../../../parts/basics.tsx'
import { omittedBytes, payloadOf } from '../model/events.ts'
import { JsonTree } from './json-tree.tsx'

/** An event with all that is in it. */
function useWhole(runId: string, seq: number, wanted: boolean) {
  return useQuery({
    queryKey: ['event', runId, seq],
    queryFn: async ({ signal }) => {
      const page = await get<HistoryPage>(runPath(runId, '/history'), { after: seq - 1, limit: 1 }, signal)
      return page.events[0] ?? null
    },
    enabled: wanted,
    staleTime: Number.POSITIVE_INFINITY,
  })
}

/** What an event carries: shown at once when it is short, read when it is asked for otherwise. */
export function Payload({
  title,
  runId,
  event,
}: {
  readonly title: string
  readonly runId: string
  readonly event: EventJson
}) {
  const field = payloadOf(event.type)
  const brief = field === null ? undefined : event.data?.[field]
  const size = omittedBytes(brief) ?? omittedBytes({ omitted: event.data?.tooLong })
  const [wanted, setWanted] = useState(false)
  const whole = useWhole(runId, event.seq, wanted && size !== null)
  if (field === null) return null
  const value = whole.data == null ? brief : whole.data.data?.[field]
  if (field === 'error') {
    return <ErrorView error={(value ?? null) as ErrorJson | null} runId={runId} seq={event.seq} />
  }
  return (
    <section className="payload" aria-label={title}>
      <header>
        <h3>{title}</h3>
        {size === null || whole.data != null ? <CopyValue value={value} /> : null}
      </header>
      {typeof event.data?.unreadable === 'string' ? (
        <div className="muted">cannot be read: {event.data.unreadable}</div>
      ) : size !== null && whole.data == null ? (
        <button type="button" onClick={() => setWanted(true)} disabled={whole.isFetching}>
          {whole.isFetching ? 'reading…' : `Read it (${bytes(size)})`}
        </button>
      ) : (
        <JsonTree value={value} />
      )}
      {whole.error !== null && <Problem error={whole.error} />}
    </section>
  )
}

export function CopyValue({ value }: { readonly value: unknown }) {
  const [copied, setCopied] = useState(false)
  return (
    <button
      type="button"
      className="plain small"
      onClick={async () => {
        await navigator.clipboard?.writeText(JSON.stringify(value, null, 2) ?? '')
        setCopied(true)
        setTimeout(() => setCopied(false), 1_500)
      }}
    >
      <span aria-live="polite">{copied ? '✓ copied' : 'copy'}</span>
    </button>
  )
}

/** An error with its causes; its stack is in the history alone, and read from there when asked for. */
export function ErrorView({
  error,
  runId,
  seq,
}: {
  readonly error: ErrorJson | null
  readonly runId: string
  readonly seq: number | null
}) {
  const [wanted, setWanted] = useState(false)
  const stack = useQuery({
    queryKey: ['stack', runId, seq],
    queryFn: async ({ signal }) => {
      const file = await get<{ events: readonly EventJson[] }>(runPath(runId, '/export'), {}, signal)
      const found = file.events.find((event) => event.seq === seq)?.data?.error
      return (found ?? null) as ErrorJson | null
    },
    enabled: wanted && seq !== null,
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (error === null) return null
  const whole = stack.data ?? error
  return (
    <section className="payload error" aria-label="Error">
      <OneError error={whole} depth={0} />
      {whole.stack === undefined && seq !== null && (
        <button type="button" className="small" onClick={() => setWanted(true)} disabled={stack.isFetching}>
          {stack.isFetching ? 'reading…' : stack.data === null ? 'no stack is on record' : 'Show the stack'}
        </button>
      )}
      {stack.error !== null && <Problem error={stack.error} />}
    </section>
  )
}

const maxMessage = 2_000

function OneError({ error, depth }: { readonly error: ErrorJson; readonly depth: number }) {
  const { name, message, code, stack, cause } = error
  const text = String(message ?? '')
  return (
    <div className="one-error">
      <div>
        {depth > 0 && <span className="muted">caused by </span>}
        <b>
          <bdi>{String(name ?? 'Error').slice(0, 200)}</bdi>
        </b>
        {code !== undefined && <code className="code">{String(code).slice(0, 100)}</code>}
      </div>
      <pre>
        <bdi>{text.length > maxMessage ? `${text.slice(0, maxMessage)}…` : text}</bdi>
      </pre>
      {stack !== undefined && (
        <details open={depth === 0}>
          <summary>stack</summary>
          <pre className="stack-text">{stackOnly(stack, text)}</pre>
          <Copyable text={whereIn(stack) ?? ''} label="Copy the place in the code" />
        </details>
      )}
      {cause !== undefined && cause !== null && depth < 8 && <OneError error={cause} depth={depth + 1} />}
    </div>
  )
}

/** The frames: the message stands above them already. */
function stackOnly(stack: string, message: string): string {
  const at = stack.indexOf('\n    at ')
  return (at >= 0 && stack.slice(0, at).includes(message.slice(0, 50)) ? stack.slice(at + 1) : stack).slice(0, 20_000)
}

/** The first frame that is no part of Node or of a package. */
function whereIn(stack: string): string | null {
  const frame = stack.split('\n').find((line) => /^\s+at /.test(line) && !/node_modules|node:/.test(line))
  return /\(?([^\s()]+:\d+:\d+)\)?$/.exec(frame ?? '')?.[1]?.replace(/^file:\/\//, '') ?? null
}
