/** Rules in words, and as fields of a form. */
import { duration, percent } from '../../lib/format.ts'
import type { AlertKind, AlertRule } from '../../lib/ops.ts'

export interface Field {
  readonly key: string
  readonly label: string
  readonly type: 'text' | 'number' | 'duration'
  readonly required?: boolean
  readonly hint?: string
}

const workflow: Field = { key: 'workflow', label: 'Workflow (any)', type: 'text' }
const queue: Field = { key: 'queue', label: 'Queue (any)', type: 'text' }
const window = (hint: string): Field => ({ key: 'window', label: 'Over the last', type: 'duration', hint })
const share = '0 to 1'

export const kinds: Readonly<Record<AlertKind, { readonly name: string; readonly fields: readonly Field[] }>> = {
  runTooLong: {
    name: 'a run takes too long',
    fields: [
      workflow,
      queue,
      { key: 'longerThan', label: 'Longer than', type: 'duration', hint: '30m; or:' },
      { key: 'timesP99', label: 'Times its own P99', type: 'number', hint: '3' },
      { ...window('1d'), label: 'P99 of the last' },
      { key: 'minRuns', label: 'From so many runs on', type: 'number', hint: '20' },
    ],
  },
  failureRate: {
    name: 'too many runs fail',
    fields: [
      workflow,
      { key: 'above', label: 'More than (share)', type: 'number', required: true, hint: share },
      window('10m'),
      { key: 'minRuns', label: 'From so many runs on', type: 'number', hint: '10' },
    ],
  },
  retryRate: {
    name: 'too many attempts are repeated',
    fields: [
      workflow,
      { key: 'step', label: 'Step (any)', type: 'text' },
      { key: 'above', label: 'More than (share)', type: 'number', hint: `${share}; or:` },
      { key: 'timesUsual', label: 'Times what was usual', type: 'number', hint: '3' },
      window('10m'),
      { key: 'minAttempts', label: 'From so many attempts on', type: 'number', hint: '10' },
    ],
  },
  queueAge: {
    name: 'a run waits too long in its queue',
    fields: [queue, { key: 'olderThan', label: 'Longer than', type: 'duration', required: true, hint: '5m' }],
  },
  noWorker: { name: 'nobody can run what is ready', fields: [workflow, queue] },
  blockedRuns: {
    name: 'runs are blocked',
    fields: [workflow, { key: 'above', label: 'More than', type: 'number', hint: '0' }],
  },
  leaseChurn: {
    name: 'workers die',
    fields: [{ key: 'above', label: 'More than', type: 'number', required: true, hint: '3' }, window('10m')],
  },
}

const span = (value: string | number | undefined, usual: string) =>
  typeof value === 'number' ? duration(value) : (value ?? usual)

const runsOf = (name: string | undefined) => (name === undefined ? 'any workflow' : name)

/** What makes it fire, in a sentence without its end. */
export function inWords(rule: AlertRule): string {
  switch (rule.kind) {
    case 'runTooLong': {
      const limit =
        rule.longerThan === undefined
          ? `${rule.timesP99} times the P99 of its last ${span(rule.window, '1d')}`
          : span(rule.longerThan, '')
      const where = rule.queue === undefined ? '' : ` in the queue ${rule.queue}`
      return `a run of ${runsOf(rule.workflow)}${where} takes longer than ${limit}`
    }
    case 'failureRate':
      return `more than ${percent(rule.above)} of the runs of ${runsOf(rule.workflow)} failed in the last ${span(rule.window, '10m')}`
    case 'retryRate': {
      const what = rule.step === undefined ? 'attempts' : `attempts of the step ${rule.step}`
      const limit =
        rule.above === undefined ? `${rule.timesUsual} times as many as usual` : `more than ${percent(rule.above)}`
      return `${limit} of the ${what} of ${runsOf(rule.workflow)} were repeated in the last ${span(rule.window, '10m')}`
    }
    case 'queueAge':
      return `a run has been ready in ${rule.queue === undefined ? 'a queue' : `the queue ${rule.queue}`} for longer than ${span(rule.olderThan, '')}`
    case 'noWorker':
      return `runs of ${runsOf(rule.workflow)}${rule.queue === undefined ? '' : ` in the queue ${rule.queue}`} are ready, and no worker can take them`
    case 'blockedRuns':
      return (rule.above ?? 0) === 0
        ? `a run of ${runsOf(rule.workflow)} is blocked`
        : `more than ${rule.above} runs of ${runsOf(rule.workflow)} are blocked`
    case 'leaseChurn':
      return `more than ${rule.above} workers went without being stopped in the last ${span(rule.window, '10m')}`
  }
}

/** Held for how long, before it fires. */
export function heldFor(rule: AlertRule): string {
  return rule.for === undefined ? '' : `, for ${span(rule.for, '')}`
}
