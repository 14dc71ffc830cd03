import { checkRetention } from '../../core/retention-rules.js'
import type { RetentionStore } from '../../store/retention.js'
import { readConfig } from './config-file.js'

/** Makes what the config says of retention hold. Without a config what another has said holds on. */
export async function keepConfigRetention(store: RetentionStore): Promise<void> {
  const found = await readConfig()
  if (found === null) return
  const { retention = {} } = found.config
  await store.setConfigRetention(checkRetention(retention, `${found.name}, retention`))
}
