/** `stet/dashboard`: the HTTP API and the live feed, by themselves or in a server of your own. */
export type { Role, Tokens } from './access.js'
export { createDashboard, type Dashboard, type DashboardOptions } from './dashboard.js'
export { type ServedDashboard, type ServeOptions, serveDashboard } from './listen.js'
