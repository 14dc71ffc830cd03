// Runs at certain times: a report each night in Berlin, a poll that never overlaps itself, the books in the last days of
// a month.
// Terminal 1: npx stet worker samples/schedules.ts
// Terminal 2: npx stet schedule create poll poll --every 10s --overlap bufferOne --input '{"source":"mail"}'
//             npx stet schedule create nightly report --cron '30 2 * * *' --time-zone Europe/Berlin --input '{"of":"sales"}'
//             npx stet schedule next --cron '30 2 * * *' --time-zone Europe/Berlin -n 5
//             npx stet schedule trigger nightly;  npx stet schedule list;  npx stet schedule show poll
import { type ScheduleOptions, workflow } from 'stet'

/** Which day a report is about follows from the slot, not from the clock: one that runs late is about the same day. */
export const report = workflow('report', async (ctx, input: { of: string }) => {
  const slot = ctx.run.scheduledFor ?? ctx.run.startedAt
  const day = new Date(slot.getTime() - 86_400_000).toISOString().slice(0, 10)
  return ctx.step('write report', () => `${input.of} of ${day}`)
})

export const poll = workflow('poll', async (ctx, input: { source: string }) => {
  const found = await ctx.step('look', () => `nothing new in ${input.source}`)
  await ctx.sleep('15s')
  return found
})

export const closeBooks = workflow('close-books', async (ctx) =>
  ctx.step('close', () => `closed for ${ctx.run.scheduledFor?.toISOString().slice(0, 7)}`),
)

/** As they stand in a `stet.config.ts`, where `stet worker` and `stet dev` make them: `schedules`. */
export const schedules: Record<string, ScheduleOptions> = {
  nightly: { workflow: report, input: { of: 'sales' }, cron: '30 2 * * *', timeZone: 'Europe/Berlin', catchUp: '6h' },
  poll: { workflow: poll, input: { source: 'mail' }, every: '10s', overlap: 'bufferOne' },
  // At six on Monday to Friday in the last three days of a month: once a month or twice, and never in a holiday.
  books: {
    workflow: closeBooks,
    calendars: [{ daysOfMonth: { from: -3, to: -1 }, daysOfWeek: { from: 1, to: 5 }, hours: 18 }],
    exclude: [{ months: 12, daysOfMonth: { from: 24, to: 31 } }],
    timeZone: 'Europe/Berlin',
    overlap: 'skip',
  },
}
