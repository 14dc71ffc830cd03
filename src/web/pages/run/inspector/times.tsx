/** How a step spent its time, as a whole and by attempts. */
import { duration } from '../../../lib/format.ts'
import { useNow } from '../../../lib/now.ts'
import { Time } from '../../../parts/basics.tsx'
import { Status } from '../../../parts/status.tsx'
import { attemptsOf, type RunModel, type Step, segmentsOf, timesOf } from '../model/model.ts'
import type { Selected } from '../selection.ts'
import { Facts } from './frame.tsx'

export function Times(props: { readonly step: Step; readonly view: RunModel; readonly then: number | null }) {
  const now = useNow()
  return <TimesAt {...props} now={props.then ?? now} />
}

export function TimesAt({ step, view, now }: { readonly step: Step; readonly view: RunModel; readonly now: number }) {
  const segments = segmentsOf(step, view, now)
  if (segments.length === 0) return null
  const sums = timesOf(segments)
  const [from, to] = [segments[0]!.from, segments.at(-1)!.to]
  return (
    <Facts
      facts={[
        step.startedAt !== null && ['began', <Time key="b" at={step.startedAt} />],
        sums.queued > 0 && ['queued', duration(sums.queued)],
        sums.executing + sums.failed > 0 && [
          step.kind === 'child' ? 'child ran' : 'executing',
          duration(sums.executing + sums.failed),
        ],
        sums['retry wait'] > 0 && ['between attempts', duration(sums['retry wait'])],
        sums.waiting > 0 && ['waiting', duration(sums.waiting)],
        ['in all', duration(to - from)],
      ]}
    />
  )
}

export function Attempts({
  step,
  view,
  then,
  selected,
}: {
  readonly step: Step
  readonly view: RunModel
  readonly then: number | null
  readonly selected: Selected
}) {
  const now = useNow()
  const attempts = attemptsOf(step, view.events, then ?? now)
  const { path } = selected.selection
  if (attempts.length === 0) return null
  return (
    <section className="payload" aria-label="Attempts">
      <h3>Attempts</h3>
      <table className="attempts">
        <thead>
          <tr>
            <th className="number">n</th>
            <th>outcome</th>
            <th className="number">took</th>
            <th>then</th>
          </tr>
        </thead>
        <tbody>
          {attempts.slice(-50).map(({ n, startedAt, endedAt, outcome, seq, nextAt }, i, shown) => {
            const error =
              seq === null
                ? undefined
                : (view.events[seq - 1]?.json.data?.error as { name?: string; message?: string } | undefined)
            const next = shown[i + 1]?.startedAt ?? nextAt
            return (
              <tr key={n}>
                <td className="number">{n}</td>
                <td>
                  <Status status={outcome} />
                  {error !== undefined && (
                    <button
                      type="button"
                      className="plain small cut attempt-error"
                      onClick={() => selected.select({ path, step: step.key, ...(seq === null ? {} : { event: seq }) })}
                    >
                      <bdi>{`${error.name}: ${error.message}`.slice(0, 200)}</bdi>
                    </button>
                  )}
                </td>
                <td className="number">{duration((endedAt ?? then ?? now) - startedAt)}</td>
                <td className="muted">
                  {endedAt !== null && next !== null && next !== undefined
                    ? `${duration(next - endedAt)} until the next`
                    : ''}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </section>
  )
}
