// Document approval: a person decides by a signal, is reminded half-way, and the request expires at its deadline.
// Terminal 1: npx stet worker samples/approval.ts
// Terminal 2: npx stet start approval --id plan-7 --input '{"document":"plan","author":"ada","reviewer":"bob"}'
//             npx stet signal plan-7 decision '{"approved":true,"by":"bob"}'
import { signal, TimeoutFailure, workflow } from 'stet'

export interface Request {
  document: string
  author: string
  reviewer: string
  /** Days until the request expires; default 3. */
  days?: number
}
export interface Decision {
  approved: boolean
  by: string
  note?: string
}

export const decision = signal<Decision>('decision')

export const approval = workflow('approval', async (ctx, request: Request) => {
  const { document, author, reviewer, days = 3 } = request
  await ctx.step('ask for review', () => send(reviewer, `please review "${document}"`))

  // With a default, a wait that is over returns it. The run is parked meanwhile: it costs a row, no memory.
  let answer = await ctx.waitForSignal(decision, { timeout: `${days * 12}h`, default: null })
  if (answer === null) {
    await ctx.step('remind', () => send(reviewer, `"${document}" still waits for you`))
    try {
      // Without one, it throws.
      answer = await ctx.waitForSignal(decision, { timeout: `${days * 12}h` })
    } catch (error) {
      if (!(error instanceof TimeoutFailure)) throw error
      await ctx.step('tell that it expired', () => send(author, `nobody decided on "${document}" in ${days} days`))
      return { document, outcome: 'expired' as const }
    }
  }

  if (!answer.approved) {
    await ctx.step('tell that it was rejected', () => send(author, `"${document}" was rejected: ${answer.note ?? '-'}`))
    return { document, outcome: 'rejected' as const, by: answer.by }
  }
  const url = await ctx.step('publish', () => `https://docs.example.com/${encodeURIComponent(document)}`)
  return { document, outcome: 'published' as const, by: answer.by, url }
})

function send(to: string, text: string): { to: string; text: string } {
  console.log(`to ${to}: ${text}`)
  return { to, text }
}
