/**
 * A worker process to be killed, stopped and starved: `worker.ts '{"url":…,"ledger":…,"worker":{…}}' [standby]`. Says
 * 'ready'; on standby it says 'loaded' and begins when it is told to. SIGTERM drains it.
 */
import { Stet } from 'stet'
import * as workflows from './workflows.js'

const { url, ledger, poolSize, worker: settings } = JSON.parse(process.argv[2]!)
workflows.openLedger(ledger)
const stet = new Stet({
  url,
  ...(poolSize === undefined ? {} : { poolSize }),
  log: {
    debug() {},
    info() {},
    warn: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
    error: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
  },
})
const { thirtySix, listener, work, fan, poison } = workflows
const worker = stet.worker({ workflows: { thirtySix, listener, work, fan, poison }, ...settings })
process.on('SIGTERM', async () => {
  await worker.stop()
  await stet.close()
  process.exit(0)
})
// Its parent is gone, however that went.
process.on('disconnect', () => process.exit(0))
if (process.argv[3] === 'standby') {
  process.send!('loaded')
  await new Promise((resolve) => process.once('message', resolve))
}
await worker.start()
process.send!('ready')
