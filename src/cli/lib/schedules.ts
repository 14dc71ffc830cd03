/** Schedules of the config, made and changed when a worker starts. */
import { StoredSchedules } from '../../client/schedules.js'
import type { Log } from '../../core/types.js'
import type { Stet } from '../../stet.js'
import { readConfig } from './config-file.js'

/** One that cannot be made is told; the worker works on. A config that says nothing of schedules touches none. */
export async function applySchedules(stet: Stet, log: Log): Promise<void> {
  const { schedules } = (await readConfig())?.config ?? {}
  if (schedules === undefined || !(stet.schedules instanceof StoredSchedules)) return
  try {
    const { made, changed, deleted } = await stet.schedules.configure(schedules)
    const fields = Object.entries({ made, changed, deleted }).filter(([, ids]) => ids.length > 0)
    if (fields.length > 0)
      log.info('schedules of the config', Object.fromEntries(fields.map(([what, ids]) => [what, ids.join(', ')])))
  } catch (error) {
    log.error('the schedules of the config could not be set', { message: (error as Error).message })
  }
}
