import { duration } from '../../../lib/format.ts'
import { criticalPath, type RunModel, segmentsOf } from '../model/model.ts'

/** Where its time went, along the path that determined its end. */
export function CriticalNote({ model, then }: { readonly model: RunModel; readonly then: number | null }) {
  const path = criticalPath(model)
  const sums = { executing: 0, waiting: 0, queued: 0, retry: 0 }
  for (const index of path) {
    for (const { kind, from, to } of segmentsOf(model.steps[index]!, model, then ?? Date.now())) {
      if (kind === 'executing' || kind === 'failed') sums.executing += to - from
      else if (kind === 'retry wait') sums.retry += to - from
      else sums[kind] += to - from
    }
  }
  return (
    <span data-critical-note>
      critical path: {path.length.toLocaleString('en')} steps, {duration(sums.executing)} executing,{' '}
      {duration(sums.waiting)} waiting, {duration(sums.queued)} queued, {duration(sums.retry)} between attempts
    </span>
  )
}
