import { decode, encode, encodeError } from './codec.js'
import { StetError } from './errors.js'
import type { Execution } from './execution.js'

/**
 * Asks a run that is in memory, between its turns. Never rejects: an error is an answer too, as a recorded error.
 * The handler may look and compute; asking for anything through ctx is an error.
 */
export function askExecution(
  execution: Execution,
  name: string,
  payload: string | null,
): Promise<{ answer: string | null; error: string | null }> {
  return new Promise((resolve) => {
    let found: { answer: string | null; error: string | null } = { answer: null, error: null }
    execution.look(
      () => {
        try {
          found = { answer: ask(execution, name, payload), error: null }
        } catch (error) {
          found = { answer: null, error: encodeError(error) }
        }
      },
      () => resolve(found),
    )
  })
}

function ask(execution: Execution, name: string, payload: string | null): string | null {
  const { blockage, handlers, identity } = execution
  if (blockage !== null) throw new StetError('run_blocked', `query "${name}": the run is blocked: ${blockage.message}`)
  const handler = handlers.queries.get(name)
  if (handler === undefined) {
    const known = [...handlers.queries.keys()].map((each) => `"${each}"`).join(', ')
    throw new StetError(
      'no_handler',
      `query "${name}": workflow "${identity.workflow}" has no handler for it at this point. It has ${known === '' ? 'none for any query' : known}. Register one with ctx.onQuery, before the first await.`,
    )
  }
  const answer = handler(decode(payload))
  if (typeof (answer as any)?.then === 'function') {
    throw new StetError(
      'async_query',
      `query "${name}": its handler returned a promise. A query only looks: make it a plain function.`,
    )
  }
  return encode(answer, `the answer of query "${name}"`)
}
