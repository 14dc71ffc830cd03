/** What is done through the API: afterwards the page asks anew for what there is. */
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { post } from './api.ts'

/** `roots`: what may be otherwise after the action, by the beginning of its path, such as '/api/schedules'. */
export function useAct(...roots: readonly string[]) {
  const client = useQueryClient()
  const [failed, setFailed] = useState<unknown>(null)
  const refresh = () =>
    client.invalidateQueries({
      predicate: ({ queryKey }) => roots.some((root) => String(queryKey[0]).startsWith(root)),
    })
  /** What is thrown is for a dialog to show. */
  const act = async <T>(path: string, body: object): Promise<T> => {
    const answer = await post<T>(path, body)
    await refresh()
    return answer
  }
  /** For a button that stands on the page: what goes wrong is kept in `failed`. */
  const tryTo = async (path: string, body: object): Promise<void> => {
    setFailed(null)
    try {
      await act(path, body)
    } catch (wrong) {
      setFailed(wrong)
    }
  }
  return { act, tryTo, failed, refresh }
}
