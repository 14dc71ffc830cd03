/** What stands in `stet.config.ts`. */
import { checkAlerts } from './core/alert-rule.js'
import { InvalidInputError } from './core/errors.js'
import type { Interceptor } from './core/interceptors.js'
import { checkRetention } from './core/retention-rules.js'
import { checkScheduleId } from './core/schedule/ids.js'
import { checkTimes, timesIn } from './core/schedule/times.js'
import { checkSchema } from './core/schema-name.js'
import type { AlertsConfig, PayloadCodec, RetentionConfig, ScheduleOptions } from './core/types.js'

export interface StetConfig {
  /** Database, when neither the command line nor the environment names one. */
  url?: string
  /** The application's schema in it, when neither the command line nor `STET_SCHEMA` names one. Default `stet`. */
  schema?: string
  /** Files with workflows: paths, folders or globs, relative to the config file. */
  workflows?: string | string[]
  /** What `stet worker` and `stet dev` listen on. Default: the queues of the workflows. */
  queues?: string[]
  /** Runs held in memory (200) and step bodies at once (100) of a worker; a number sets both. */
  concurrency?: number | { runs?: number; steps?: number }
  /** Carrier of hints. */
  hints?: string
  /** What payloads go through on their way to the database and back, in every command and worker. */
  codec?: PayloadCodec
  /** What is called around steps, starts and messages of workers and commands. */
  interceptors?: readonly Interceptor[]
  /** Rules that workers and dashboards look after, and where their alerts go. */
  alerts?: AlertsConfig
  /** How long closed runs are kept, by how they ended: `{ completed: '30d', perWorkflow: { order: { … } } }`. */
  retention?: RetentionConfig
  /**
   * By id: made and changed when a worker starts. One that is gone from here is deleted, if it came from here; one that
   * was made otherwise stays. Without this field nothing is touched.
   */
  schedules?: Record<string, ScheduleOptions>
  [key: string]: unknown
}

/**
 * The configuration of the command line, for `stet.config.ts`: `export default defineConfig({ … })`. It gives back what
 * it is given; its use is that an editor knows the fields, and that a wrong one is told with its name.
 *
 * @throws InvalidInputError naming the field that cannot be used
 * @example export default defineConfig({ workflows: 'src/workflows/**', queues: ['default', 'mail'] })
 */
export function defineConfig(config: StetConfig): StetConfig {
  return checkConfig(config, 'defineConfig')
}

/** @throws InvalidInputError naming the field, with `what` before it */
export function checkConfig(config: unknown, what: string): StetConfig {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new InvalidInputError(`${what}: expected an object with options, got ${typeOf(config)}.`)
  }
  const { url, schema, workflows, queues, concurrency, hints, codec, interceptors, alerts, retention, schedules } =
    config as StetConfig
  const isText = (value: unknown) => typeof value === 'string' && value !== ''
  const areTexts = (value: unknown) => Array.isArray(value) && value.every(isText)
  const refuse = (field: string, expected: string, value: unknown) => {
    throw new InvalidInputError(`${what}, ${field}: expected ${expected}, got ${typeOf(value)}.`)
  }
  if (url !== undefined && !isText(url)) refuse('url', 'a database URL', url)
  if (schema !== undefined) checkSchema(schema, `${what}, schema`)
  if (workflows !== undefined && !isText(workflows) && !areTexts(workflows)) {
    refuse('workflows', 'a path or glob, or a list of them', workflows)
  }
  if (queues !== undefined && !(areTexts(queues) && queues.length > 0)) refuse('queues', 'a list of names', queues)
  const slots = typeof concurrency === 'object' && concurrency !== null ? Object.values(concurrency) : [concurrency]
  if (
    concurrency !== undefined &&
    !slots.every((n) => n === undefined || (Number.isInteger(n) && (n as number) >= 1))
  ) {
    refuse('concurrency', 'a whole number from 1, or { runs, steps }', concurrency)
  }
  if (codec !== undefined && (typeof codec?.encode !== 'function' || typeof codec?.decode !== 'function')) {
    refuse('codec', 'an object with encode(bytes) and decode(bytes)', codec)
  }
  if (interceptors !== undefined && !Array.isArray(interceptors)) refuse('interceptors', 'a list', interceptors)
  if (hints !== undefined && !isText(hints)) refuse('hints', 'text', hints)
  if (alerts !== undefined) checkAlerts(alerts, `${what}, alerts`)
  if (retention !== undefined) checkRetention(retention, `${what}, retention`)
  if (schedules !== undefined) {
    if (typeof schedules !== 'object' || schedules === null || Array.isArray(schedules)) {
      refuse('schedules', 'an object with schedules by id', schedules)
    }
    for (const [id, options] of Object.entries(schedules)) {
      checkScheduleId(id, `${what}, schedules: id`)
      if (typeof options !== 'object' || options === null)
        refuse(`schedules "${id}"`, 'an object with options', options)
      checkTimes(timesIn(options), `${what}, schedules "${id}"`)
    }
  }
  return config as StetConfig
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `${typeof value} ${String(value)}`
}
