import { count } from '../../../lib/format.ts'
import { Time } from '../../../parts/basics.tsx'
import { cutName } from '../graph/node.tsx'
import { Command, Facts, Frame, type InspectorProps, shell } from './frame.tsx'
import { JsonTree } from './json-tree.tsx'
import { CopyValue, Payload } from './payload.tsx'

/** The run itself, when nothing of it is selected. */
export function RunPart({ inspected: { summary, view }, attributes, then }: InspectorProps) {
  const [first] = view.events
  const last = view.length > 0 ? view.events[view.length - 1]?.json : undefined
  const ended = view.closed && last !== undefined ? last : undefined
  return (
    <Frame title={<bdi>{cutName(summary.id)}</bdi>} kind="run">
      {first !== undefined && <Payload title="Input" runId={summary.runId} event={first.json} />}
      {ended !== undefined && (
        <Payload
          title={ended.type === 'RunContinued' ? 'Input of the next run' : 'Output'}
          runId={summary.runId}
          event={ended}
        />
      )}
      {Object.keys(attributes).length > 0 && (
        <section className="payload" aria-label="Attributes">
          <header>
            <h3>Search attributes</h3>
            <CopyValue value={attributes} />
          </header>
          <JsonTree value={attributes} />
        </section>
      )}
      <Facts
        facts={[
          ['steps', count(view.steps.filter(({ shown }) => shown !== 'ghost').length)],
          ['events', count(view.length)],
          then === null && [
            'worker',
            summary.worker === null ? 'none holds it' : <code key="w">{summary.worker}</code>,
          ],
          summary.deadline !== null && ['deadline', <Time key="d" at={summary.deadline} />],
          then === null &&
            summary.due !== null &&
            summary.status === 'waiting' && ['due', <Time key="due" at={summary.due} />],
          ['priority', summary.priority],
        ]}
      />
      <section className="payload">
        <h3>Look into it</h3>
        <Command text={`npx stet replay ${shell(summary.runId)}`} />
        <Command text={`npx stet why ${shell(summary.runId)}`} />
        <Command text={`npx stet export ${shell(summary.runId)} > ${summary.runId}.json`} />
      </section>
    </Frame>
  )
}
