/** Metrics for Prometheus, of what the database says: those of a worker are at the worker's own address. */
import { prometheus } from '../../observe/prometheus.js'
import { get, type House, type Route } from '../route.js'

type Metrics = ReturnType<typeof prometheus>

/** One registry a dashboard: it asks the database only so often, however often it is scraped. */
const ofHouse = new WeakMap<House, Metrics>()

export const metricsRoutes: readonly Route[] = [
  get('/metrics', {
    summary: 'Queues and workers, for Prometheus',
    answer: { type: 'string' },
    produces: 'text/plain',
    run: async ({ house }) => {
      let metrics = ofHouse.get(house)
      if (metrics === undefined) {
        metrics = prometheus(await house.store())
        ofHouse.set(house, metrics)
      }
      return new Response(await metrics.content(), { headers: { 'content-type': metrics.type } })
    },
  }),
]
