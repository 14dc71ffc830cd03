/** A worker process of the benchmark: `worker.ts <url>`. Says "ready"; ends on SIGTERM. */
import { Stet } from 'stet'
import * as workflows from './workflows.js'

const stet = new Stet({ url: process.argv[2] })
const worker = stet.worker({ workflows, concurrency: { runs: 500, steps: 1_000 } })
await worker.start()
process.on('SIGTERM', async () => {
  await worker.stop()
  await stet.close()
  process.exit(0)
})
process.send?.('ready')
