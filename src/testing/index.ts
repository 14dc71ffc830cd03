/** `stet/testing`: tests that run real workflows, on a real Postgres or in memory, with a clock that they move. */
export { type CrashOptions, crashEverywhere } from './crash.js'
export { type TestEnv, type TestOptions, testEnv } from './env.js'
export { type ReplayedHistory, replayHistory } from './history.js'
export { completeInEveryOrder, type OrderOptions, type Orders } from './orders.js'
