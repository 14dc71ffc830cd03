import { count } from '../../lib/format.ts'
import type { AlertTest } from '../../lib/ops.ts'
import { Time } from '../../parts/basics.tsx'

const listed = 20

/** When rules would have fired. */
export function Tests({ tests }: { readonly tests: readonly AlertTest[] }) {
  return (
    <section className="stack tests" aria-label="When they would have fired" aria-live="polite">
      {tests.map(({ rule, known, note, firings }) => (
        <div key={rule}>
          <b>{rule}</b>{' '}
          {!known
            ? 'cannot be told'
            : firings.length === 0
              ? 'would not have fired'
              : `would have fired ${firings.length === 1 ? 'once' : `${count(firings.length)} times`}`}
          {note !== '' && <span className="muted"> {note}</span>}
          {firings.length > 0 && (
            <ul>
              {firings.slice(0, listed).map((firing) => (
                <li key={`${firing.firedAt} ${firing.summary}`}>
                  <Time at={firing.firedAt} /> to {firing.resolvedAt === null ? 'now' : <Time at={firing.resolvedAt} />}
                  : <span className="muted">{firing.summary}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
      ))}
    </section>
  )
}
