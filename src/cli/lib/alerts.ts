/** Alerts in a process of the command line: workers and dashboards look after them, one of them at a time. */
import type { Log } from '../../core/types.js'
import { AlertEvaluator } from '../../observe/alerts/evaluator.js'
import type { Store } from '../../store/port.js'
import { readConfig } from './config-file.js'

/** Begins, with the rules of the config; null: the store has no alerts. */
export async function watchAlerts(store: Store, log: Log): Promise<AlertEvaluator | null> {
  const { config } = (await readConfig()) ?? {}
  if (store.alerts === null) return null
  const evaluator = new AlertEvaluator({ alerts: store.alerts, backlog: store.backlog }, log, config?.alerts)
  evaluator.start()
  return evaluator
}
