import { count, exactTime } from '../../../lib/format.ts'
import type { EventJson } from '../../../lib/types.ts'
import { cutName } from '../graph/node.tsx'
import { marks, payloadOf } from '../model/events.ts'
import { Facts, Frame, type InspectorProps, Keys } from './frame.tsx'
import { JsonTree } from './json-tree.tsx'
import { CopyValue, Payload } from './payload.tsx'

export function EventPart({
  inspected: { summary, view },
  selected,
  event,
  onFork,
}: InspectorProps & { readonly event: EventJson }) {
  const { path } = selected.selection
  const { seq, type, at, op, name, data } = event
  const field = payloadOf(type)
  const facts = Object.fromEntries(Object.entries(data ?? {}).filter(([key]) => key !== field))
  const step = op === undefined ? undefined : view.byOp.get(op)
  const go = (next: number) => selected.select({ path, event: next })
  return (
    <Frame
      kind={`event ${count(seq)} of ${count(view.length)}`}
      title={type}
      onClose={() => selected.select(step === undefined ? null : { path, step: step.key })}
    >
      <div className="row">
        <button type="button" className="small" disabled={seq <= 1} onClick={() => go(seq - 1)}>
          ← {seq - 1}
        </button>
        <button type="button" className="small" disabled={seq >= view.length} onClick={() => go(seq + 1)}>
          {seq + 1} →
        </button>
        {path === '' && onFork !== null && !marks.has(type) && seq > 1 && (
          <button type="button" className="small" onClick={() => onFork(seq)}>
            Rerun from here…
          </button>
        )}
      </div>
      <Facts
        facts={[
          ['at', exactTime(at)],
          step !== undefined && [
            'step',
            <Keys key="step" keys={[step.key]} to={(key) => () => selected.select({ path, step: key })} />,
          ],
          name !== undefined && step?.name !== name && ['name', <bdi key="name">{cutName(name)}</bdi>],
        ]}
      />
      <Payload
        key={seq}
        title={(field ?? 'Payload').replace(/^./, (letter) => letter.toUpperCase())}
        runId={summary.runId}
        event={event}
      />
      {Object.keys(facts).length > 0 && (
        <section className="payload" aria-label="Facts">
          <header>
            <h3>Facts</h3>
            <CopyValue value={event} />
          </header>
          <JsonTree value={facts} />
        </section>
      )}
    </Frame>
  )
}
