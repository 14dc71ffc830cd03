/** What workers have counted, over a window of time. */
import { durationMs } from '../../core/duration.js'
import { InvalidInputError } from '../../core/errors.js'
import type { Duration, StatsOptions } from '../../core/types.js'
import { get, type Route } from '../route.js'
import { choice, date, duration, either, flag, integer, name, type Of, object, refTo } from '../schema.js'
import { shared } from '../shared-answers.js'
import { maxSeq } from './shared.js'

/** Workers bring their figures every ten seconds: it is hardly older than what it is made of. */
const sharedMs = 5_000
/** Parts of one window: an answer has a row for each, and each step. */
const maxParts = 1_000

const options = object(
  {},
  {
    workflow: name('of this workflow'),
    version: integer(0, maxSeq, 'and of this version of it'),
    step: name('of this step; digits in names stand for #'),
    since: either(duration(), date(), 'where the window begins, or how long it is (1h)'),
    until: date('where it ends (now)'),
    by: choice(['version'], 'each version for itself'),
    every: duration(`parts of the window, of so long, each for itself; a minute or more, at most ${maxParts} of them`),
    compare: flag('adds what each figure was in the window before; not with every'),
    only: choice(['runs', 'steps'], 'leaves the others out'),
  },
)

export const statsRoutes: readonly Route[] = [
  get('/api/stats', {
    summary: 'Percentiles, throughput, rates of failures and retries, by workflow and step',
    query: options,
    answer: refTo('Stats'),
    run: async ({ house, query }) => {
      const { only, ...asked } = query
      const wanted = optionsOf(asked)
      const stats = await shared(house, `stats ${JSON.stringify(asked)}`, sharedMs, () => house.stet.stats(wanted))
      return { ...stats, ...(only === 'runs' ? { steps: [] } : only === 'steps' ? { runs: [] } : {}) }
    },
  }),
]

/** @throws InvalidInputError when the window would fall into too many parts */
function optionsOf({ since, until, every, ...rest }: Omit<Of<typeof options>, 'only'>): StatsOptions {
  const begin = since === undefined || !isDate(since) ? since : new Date(since)
  const end = until === undefined ? undefined : new Date(until)
  if (every !== undefined) {
    const lengthMs =
      begin instanceof Date ? (end?.getTime() ?? Date.now()) - begin.getTime() : durationMs(begin ?? '1h', 'since')
    const parts = Math.ceil(lengthMs / durationMs(every, 'every'))
    if (parts > maxParts) {
      throw new InvalidInputError(
        `every: expected parts of which the window has at most ${maxParts}, got ${parts} of ${every}. Take longer ones.`,
      )
    }
  }
  return {
    ...(rest as StatsOptions),
    ...(begin === undefined ? {} : { since: begin }),
    ...(end === undefined ? {} : { until: end }),
    ...(every === undefined ? {} : { every }),
  }
}

const isDate = (since: Duration | string): since is string => typeof since === 'string' && /^\d{4}-/.test(since)
