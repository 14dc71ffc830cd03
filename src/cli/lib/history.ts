/** A history by what a user names it with: an id or a run id in the database, or a file that `stet export` wrote. */
import { readFileSync, statSync } from 'node:fs'
import { describeRow } from '../../client/describe.js'
import { RunNotFoundError } from '../../core/errors.js'
import type { RecordedEvent } from '../../core/events.js'
import { type ExportedRun, fromHistoryFile } from '../../core/history-file.js'
import { parseJson } from '../../core/json.js'
import { UsageError } from './errors.js'
import type { DatabaseOptions } from './options.js'

export interface FoundHistory {
  readonly run: ExportedRun
  readonly events: readonly RecordedEvent[]
}

/**
 * The history of `target`. Connects to the database only when `target` is no file. Throws `RunNotFoundError` for an
 * unknown id, `UsageError` for a file that is missing or no JSON, `InvalidInputError` for JSON that is no history.
 */
export async function readHistory(target: string, options: DatabaseOptions): Promise<FoundHistory> {
  return (await readHistories([target], options))[0]!
}

/** The same for several, in their order, over one connection. */
export async function readHistories(targets: readonly string[], options: DatabaseOptions): Promise<FoundHistory[]> {
  const files = targets.map(readHistoryFile)
  if (!files.includes(null)) return files as FoundHistory[]
  // A file needs nothing of what talks to a database: half of the start of a short command.
  const { connect } = await import('./connect.js')
  await using connection = await connect(options)
  const { store } = connection
  const found: FoundHistory[] = []
  for (const [i, target] of targets.entries()) {
    const row = files[i] === null ? await store.find(target) : null
    if (row === null && files[i] === null) throw new RunNotFoundError(target)
    found.push(files[i] ?? { run: describeRow(row!), events: await store.history(row!.runId) })
  }
  return found
}

/** The history in the file `target`; null: `target` names a run, not a file. */
export function readHistoryFile(target: string): FoundHistory | null {
  if (statSync(target, { throwIfNoEntry: false })?.isFile()) {
    let document: unknown
    try {
      document = parseJson(readFileSync(target, 'utf8'))
    } catch (error) {
      throw new UsageError(`${target}: expected a history as JSON (${(error as Error).message}).`)
    }
    return fromHistoryFile(document, target)
  }
  if (target.endsWith('.json')) throw new UsageError(`${target}: there is no such file.`)
  return null
}
