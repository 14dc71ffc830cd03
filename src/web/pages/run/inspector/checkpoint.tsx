import { useQuery } from '@tanstack/react-query'
import { get, runPath } from '../../../lib/api.ts'
import { JsonTree } from './json-tree.tsx'

/** How often an attempt that executes is asked what it has saved, ms. */
const everyMs = 5_000

/** What the step has saved for its next attempt, while it is open; nothing where there is nothing. */
export function Checkpoint({ runId, op }: { readonly runId: string; readonly op: number }) {
  const { data } = useQuery({
    queryKey: ['checkpoint', runId, op],
    queryFn: ({ signal }) =>
      get<{ readonly there: boolean; readonly value?: unknown }>(runPath(runId, '/checkpoint'), { op }, signal),
    refetchInterval: everyMs,
  })
  if (data?.there !== true) return null
  return (
    <section className="payload" aria-label="Checkpoint">
      <header>
        <h3>Checkpoint</h3>
      </header>
      <JsonTree value={data.value ?? null} />
    </section>
  )
}
