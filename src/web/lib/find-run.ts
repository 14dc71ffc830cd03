import { ApiError, get, runPath } from './api.ts'
import type { RunSummary } from './types.ts'

/** The page of a run. Ids may hold anything; run ids are plain. */
export const runHref = (runId: string): string => `/runs/${encodeURIComponent(runId)}`

/**
 * The run with this id (the latest) or run id; null: there is none.
 * @throws ApiError
 */
export async function findRun(id: string): Promise<RunSummary | null> {
  try {
    return (await get<{ run: RunSummary }>(runPath(id, '/summary'))).run
  } catch (error) {
    // What cannot be an id is none.
    if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return null
    throw error
  }
}
