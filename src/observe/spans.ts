/** Spans made of a recorded history (T1, T2 in `tracing.ts`). Loads the API of OpenTelemetry. */
import {
  type Attributes,
  context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { decodeError } from '../core/codec.js'
import { isTerminal, type RecordedEvent } from '../core/events.js'
import type { ClaimedRun } from '../store/port.js'

/** The span that is active here, in the form of W3C trace context; null: none. */
export function activeTraceparent(): string | null {
  const found = trace.getSpanContext(context.active())
  if (found === undefined || !trace.isSpanContextValid(found)) return null
  return `00-${found.traceId}-${found.spanId}-${(found.traceFlags & 0xff).toString(16).padStart(2, '0')}`
}

const form = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

function linkTo(traceparent: string | undefined): Link[] {
  const [, traceId, spanId, flags] = form.exec(traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined) return []
  return [{ context: { traceId, spanId, traceFlags: Number.parseInt(flags!, 16), isRemote: true } }]
}

/** Makes the spans of a run that has closed. */
export function spansOf(run: ClaimedRun, events: readonly RecordedEvent[]): void {
  const tracer = trace.getTracer('stet')
  const start = events[0]
  const end = events.at(-1)
  if (start === undefined || end === undefined || !isTerminal(end.type)) return
  const { traceparent, parent, fork } = start.facts ?? {}
  const common: Attributes = {
    'stet.workflow.name': run.workflow,
    'stet.workflow.version': run.version,
    'stet.run.id': run.runId,
  }
  const root = tracer.startSpan(
    `run ${run.workflow}`,
    {
      kind: SpanKind.CONSUMER,
      startTime: fork?.at ?? start.at,
      links: linkTo(traceparent),
      attributes: {
        ...common,
        'stet.id': run.id,
        'stet.queue': run.queue,
        ...(parent === undefined ? {} : { 'stet.parent.run.id': parent.runId }),
        ...(fork === undefined ? {} : { 'stet.forked.from.run.id': fork.runId }),
      },
    },
    ROOT_CONTEXT,
  )
  if (root.isRecording()) {
    const within = trace.setSpan(ROOT_CONTEXT, root)
    for (const event of events) {
      const { type, facts } = event
      if (type !== 'StepCompleted' && type !== 'StepFailed' && type !== 'AttemptFailed') continue
      const began = facts?.began
      // What a fork was given, or has copied, is no work of this run's.
      if (began === undefined || event.at < (fork?.at ?? 0)) continue
      const attributes: Attributes = {
        ...common,
        'stet.step.name': event.name ?? '',
        'stet.step.attempt': facts?.attempt ?? 1,
        'stet.step.op': event.op ?? 0,
      }
      const span = tracer.startSpan(`step ${event.name}`, { startTime: began, attributes }, within)
      if (type !== 'StepCompleted') fail(span, event)
      span.end(Math.max(began, event.at))
    }
  }
  root.setAttribute('stet.run.status', end.type.slice('Run'.length).toLowerCase())
  if (end.type === 'RunFailed') fail(root, end)
  root.end(end.at)
}

function fail(span: Span, { payload, at }: RecordedEvent): void {
  const { name, message, stack } = payload === null ? new Error('no error is on record') : decodeError(payload)
  span.recordException({ name, message, ...(stack === undefined ? {} : { stack }) }, at)
  span.setStatus({ code: SpanStatusCode.ERROR, message })
}
