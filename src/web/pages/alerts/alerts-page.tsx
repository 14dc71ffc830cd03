/** What fires, and the rules that say when. */
import { useState } from 'react'
import { useAct } from '../../lib/act.ts'
import { post } from '../../lib/api.ts'
import { count } from '../../lib/format.ts'
import { type Alert, type AlertRule, type AlertTest, type RuleItem, useAlerts, useRules } from '../../lib/ops.ts'
import { useMay } from '../../lib/session.ts'
import { ActionsHeading } from '../../parts/actions-heading.tsx'
import { Dialog, Empty, Problem, Time } from '../../parts/basics.tsx'
import { Menu } from '../../parts/menu.tsx'
import { StateMark } from '../../parts/status.tsx'
import './alerts.css'
import { heldFor, inWords } from './rule.ts'
import { RuleDialog } from './rule-dialog.tsx'
import { Tests } from './tests.tsx'

const states = {
  firing: { tone: 'failed', icon: 'blocked', word: 'firing' },
  pending: { tone: 'retrying', icon: 'pending', word: 'pending' },
  resolved: { tone: 'completed', icon: 'completed', word: 'resolved' },
  quiet: { tone: 'completed', icon: 'completed', word: 'quiet' },
  off: { tone: 'skipped', icon: 'paused', word: 'off' },
} as const

export default function AlertsPage() {
  const alerts = useAlerts(10_000)
  const { firing = [], pending = [], recent = [] } = alerts.data ?? {}
  return (
    <div className="stack alerts">
      <h1>Alerts</h1>
      {alerts.error !== null && alerts.data === undefined && <Problem error={alerts.error} />}
      {alerts.data !== undefined && (
        <>
          <List title="Firing" alerts={firing} none="Nothing fires." />
          {pending.length > 0 && <List title="Pending" alerts={pending} none="" />}
        </>
      )}
      <Rules alerts={[...firing, ...pending]} />
      {alerts.data !== undefined && <List title="Resolved of late" alerts={recent} none="Nothing has fired of late." />}
    </div>
  )
}

const useAlertAct = () => useAct('/api/alerts')

function List({
  title,
  alerts,
  none,
}: {
  readonly title: string
  readonly alerts: readonly Alert[]
  readonly none: string
}) {
  const { tryTo, failed } = useAlertAct()
  const may = useMay('operate')
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {alerts.length > 0 && <span className="muted">{count(alerts.length)}</span>}
      </header>
      {failed !== null && <Problem error={failed} />}
      {alerts.length === 0 ? (
        <Empty>{none}</Empty>
      ) : (
        <ul className="plain-list">
          {alerts.map((alert) => (
            <li key={alert.id} className="alert" data-alert={alert.rule}>
              <div className="row">
                <StateMark {...states[alert.state]} />
                <b>{alert.rule}</b>
                <span className="muted">{alert.severity}</span>
                {labelsOf(alert).map(([key, value]) => (
                  <span key={key} className="label mono cut" title={`${key}=${value}`}>
                    {key}={value}
                  </span>
                ))}
                <span className="muted times">
                  {alert.firedAt === undefined ? 'holds since ' : 'fired '}
                  <Time at={alert.firedAt ?? alert.since} />
                  {alert.resolvedAt !== undefined && (
                    <>
                      , resolved <Time at={alert.resolvedAt} />
                    </>
                  )}
                </span>
                {may && alert.state !== 'resolved' && (
                  <Silence
                    until={alert.silencedUntil}
                    what={`${alert.rule} of this`}
                    onSilence={(rest) => tryTo('/api/alerts/silence', { fingerprint: alert.fingerprint, ...rest })}
                  />
                )}
              </div>
              <p>{alert.summary}</p>
              {alert.deliveries.some(({ state }) => state !== 'delivered') && (
                <p className="muted small">
                  {alert.deliveries.map(({ event, state, attempts, error: failed }) => (
                    <span key={event}>
                      webhook, {event}: {state === 'givenUp' ? 'given up' : state} after {count(attempts)}{' '}
                      {attempts === 1 ? 'try' : 'tries'}
                      {failed === undefined ? '' : ` (${failed})`}.{' '}
                    </span>
                  ))}
                </p>
              )}
              {Object.keys(alert.evidence).length > 0 && (
                <details>
                  <summary className="muted small">evidence</summary>
                  <pre>{JSON.stringify(alert.evidence, null, 2)}</pre>
                </details>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

/** Those that say more than what stands beside them. */
const labelsOf = ({ labels }: Alert) =>
  Object.entries(labels).filter(([key]) => !['alertname', 'kind', 'severity'].includes(key))

const spans = ['30m', '2h', '8h', '1d', '7d'] as const

function Silence({
  until,
  what,
  onSilence,
}: {
  readonly until: string | undefined
  readonly what: string
  readonly onSilence: (rest: { for: string } | { until: null }) => void
}) {
  const silenced = until !== undefined && Date.parse(until) > Date.now()
  return (
    <Menu label={silenced ? 'silenced' : 'Silence'} title={`Silence ${what}`}>
      {(close) => (
        <>
          {silenced && (
            <p className="muted">
              Nothing is sent until <Time at={until} />.
            </p>
          )}
          <ul className="plain-list" aria-label="For how long">
            {spans.map((span) => (
              <li key={span}>
                <button
                  type="button"
                  className="plain"
                  onClick={() => {
                    close()
                    onSilence({ for: span })
                  }}
                >
                  for {span}
                </button>
              </li>
            ))}
            {silenced && (
              <li>
                <button
                  type="button"
                  className="plain"
                  onClick={() => {
                    close()
                    onSilence({ until: null })
                  }}
                >
                  end the silence
                </button>
              </li>
            )}
          </ul>
        </>
      )}
    </Menu>
  )
}

type Asked =
  | { readonly kind: 'edit'; readonly rule: AlertRule | null }
  | { readonly kind: 'remove'; readonly rule: RuleItem }

function Rules({ alerts }: { readonly alerts: readonly Alert[] }) {
  const { data, error: unread } = useRules(10_000)
  const { act, tryTo, failed, refresh } = useAlertAct()
  const isAdmin = useMay('admin')
  const may = useMay('operate')
  const [asked, setAsked] = useState<Asked | null>(null)
  const [tests, setTests] = useState<readonly AlertTest[] | null>(null)
  const [untested, setUntested] = useState<unknown>(null)
  const test = async () => {
    setUntested(null)
    setTests(null)
    try {
      setTests((await post<{ tests: readonly AlertTest[] }>('/api/alerts/test', { last: '7d' })).tests)
    } catch (wrong) {
      setUntested(wrong)
    }
  }
  const rules = data?.rules ?? []
  return (
    <section className="panel" aria-label="Rules">
      <header>
        <h2>Rules</h2>
        <span className="row">
          {rules.length > 0 && (
            <button type="button" onClick={test}>
              Test against the last 7 days
            </button>
          )}
          {isAdmin && (
            <button type="button" className="primary" onClick={() => setAsked({ kind: 'edit', rule: null })}>
              Add a rule
            </button>
          )}
        </span>
      </header>
      {unread !== null && data === undefined && <Problem error={unread} />}
      {(failed ?? untested) !== null && <Problem error={failed ?? untested} />}
      {data !== undefined && rules.length === 0 && (
        <Empty command="stet alerts rules">
          There are no rules yet. They stand in <code>stet.config.ts</code> under <code>alerts.rules</code>, or are
          added here by whoever has the role admin.
        </Empty>
      )}
      {rules.length > 0 && (
        <div className="scroll rules">
          <table>
            <thead>
              <tr>
                <th>State</th>
                <th>Name</th>
                <th>Fires when</th>
                <th>From</th>
                <ActionsHeading />
              </tr>
            </thead>
            <tbody>
              {rules.map((item) => (
                <tr key={item.name} data-rule={item.name}>
                  <td>
                    <StateMark {...states[stateOf(item, alerts)]} />
                  </td>
                  <td>
                    <b>{item.name}</b>
                    {item.rule.description !== undefined && <div className="muted">{item.rule.description}</div>}
                  </td>
                  <td>
                    {inWords(item.rule)}
                    {heldFor(item.rule)}
                    {item.silencedUntil !== undefined && (
                      <div className="muted">
                        silenced until <Time at={item.silencedUntil} />
                      </div>
                    )}
                  </td>
                  <td>
                    {item.source === 'config' ? 'stet.config.ts' : item.configured ? 'edited here' : 'added here'}
                  </td>
                  <td>
                    <div className="row actions">
                      {may && (
                        <Silence
                          until={item.silencedUntil}
                          what={item.name}
                          onSilence={(rest) => tryTo('/api/alerts/silence', { rule: item.name, ...rest })}
                        />
                      )}
                      {isAdmin && (
                        <>
                          <button
                            type="button"
                            aria-label={`${item.enabled ? 'Disable' : 'Enable'} ${item.name}`}
                            onClick={() =>
                              tryTo(`/api/alerts/rules/${item.enabled ? 'disable' : 'enable'}`, { name: item.name })
                            }
                          >
                            {item.enabled ? 'Disable' : 'Enable'}
                          </button>
                          <button
                            type="button"
                            aria-label={`Edit ${item.name}`}
                            onClick={() => setAsked({ kind: 'edit', rule: item.rule })}
                          >
                            Edit
                          </button>
                          {item.source === 'runtime' && (
                            <button
                              type="button"
                              className="danger"
                              aria-label={`Remove ${item.name}`}
                              onClick={() => setAsked({ kind: 'remove', rule: item })}
                            >
                              Remove
                            </button>
                          )}
                        </>
                      )}
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {tests !== null && (
        <div className="body">
          <Tests tests={tests} />
        </div>
      )}
      {asked?.kind === 'edit' && (
        <RuleDialog
          rule={asked.rule}
          onClose={() => {
            setAsked(null)
            void refresh()
          }}
        />
      )}
      {asked?.kind === 'remove' && (
        <Dialog
          title={`Remove ${asked.rule.name}`}
          action="Remove"
          danger
          onDone={async () => {
            await act('/api/alerts/rules/remove', { name: asked.rule.name })
          }}
          onClose={() => setAsked(null)}
        >
          <p>
            {asked.rule.configured
              ? 'The one in stet.config.ts is in force again.'
              : 'Its alerts resolve, and it is not looked at again.'}
          </p>
        </Dialog>
      )}
    </section>
  )
}

function stateOf({ name, enabled }: RuleItem, alerts: readonly Alert[]): keyof typeof states {
  if (!enabled) return 'off'
  const own = alerts.filter(({ rule }) => rule === name)
  if (own.some(({ state }) => state === 'firing')) return 'firing'
  return own.length > 0 ? 'pending' : 'quiet'
}
