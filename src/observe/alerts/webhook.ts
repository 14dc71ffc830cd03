/**
 * What is sent of an alert, and how: as Alertmanager sends it (version 4), signed, one alert a request.
 *
 * V1. The body is made once, with the firing or the resolving, and is the same for each try.
 * V2. The id in `X-Stet-Delivery` is the same for each try: whoever receives a delivery twice (its answer was lost, or
 *     the process died before it noted it) knows it by that.
 */
import { createHmac } from 'node:crypto'
import { originals } from '../../core/determinism.js'
import type { ClaimedDelivery } from '../../store/alerts.js'

export interface Webhook {
  readonly url: string
  readonly secret: string
}

export interface Told {
  readonly event: 'firing' | 'resolved'
  readonly rule: string
  readonly fingerprint: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly firedAt: number
  readonly resolvedAt: number | null
}

/** What Alertmanager writes for a time that is not yet. */
const never = '0001-01-01T00:00:00Z'

export function bodyOf(told: Told, externalUrl: string): string {
  const { event, rule, fingerprint, labels, annotations, firedAt, resolvedAt } = told
  const base = externalUrl.replace(/\/+$/, '')
  return JSON.stringify({
    version: '4',
    groupKey: `{}:{alertname=${JSON.stringify(rule)}, fingerprint="${fingerprint}"}`,
    truncatedAlerts: 0,
    status: event,
    receiver: 'stet',
    groupLabels: { alertname: rule },
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: base,
    alerts: [
      {
        status: event,
        labels,
        annotations,
        startsAt: new Date(firedAt).toISOString(),
        endsAt: resolvedAt === null ? never : new Date(resolvedAt).toISOString(),
        generatorURL: base === '' ? '' : `${base}/api/alerts`,
        fingerprint,
      },
    ],
  })
}

/** The header `X-Stet-Signature`: a receiver computes `v1` anew, of the `t` that it says and the body as it came. */
export function signatureOf(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}

/** `again`: another try may succeed; `afterMs`: not before. */
export type Sent =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: string; readonly again: boolean; readonly afterMs: number | null }

const sendMs = 10_000

/** Sends it once. Redirects are not followed: a body that is signed for one receiver is not another's. Never rejects. */
export async function send({ url, secret }: Webhook, { id, event, body }: ClaimedDelivery): Promise<Sent> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(sendMs),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'stet',
        'x-stet-delivery': id,
        'x-stet-event': event,
        'x-stet-signature': signatureOf(secret, Math.floor(originals.now() / 1_000), body),
      },
      body,
    })
  } catch (error) {
    const { name, message, cause } = error as Error
    const reason =
      name === 'TimeoutError' ? `no answer after ${sendMs} ms` : String((cause as Error)?.message || message)
    return { ok: false, error: reason, again: true, afterMs: null }
  }
  // What it says is of no interest, and may be endless.
  await response.body?.cancel().catch(() => {})
  const { status } = response
  if (status >= 200 && status < 300) return { ok: true }
  const again = status >= 500 || status === 429 || status === 408
  const redirected = status >= 300 && status < 400 ? ', a redirect, which is not followed' : ''
  return { ok: false, error: `it answered ${status}${redirected}`, again, afterMs: retryAfter(response) }
}

/** Seconds, as it is mostly given; a date is not waited for. */
function retryAfter({ headers }: Response): number | null {
  const given = headers.get('retry-after') ?? ''
  return /^\d{1,6}$/.test(given) ? Number(given) * 1_000 : null
}

const firstPauseMs = 5_000
const maxPauseMs = 600_000

/** Tries of one delivery: about an hour and a half. */
export const maxAttempts = 15

/** How long after so many tries the next one is made. */
export function pauseAfter(attempts: number, afterMs: number | null): number {
  return Math.min(maxPauseMs, Math.max(firstPauseMs * 2 ** (attempts - 1), afterMs ?? 0))
}
