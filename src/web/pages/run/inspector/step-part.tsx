import { Link } from 'wouter'
import { runHref } from '../../../lib/find-run.ts'
import { Copyable, Time } from '../../../parts/basics.tsx'
import { Status } from '../../../parts/status.tsx'
import { cutName, shownWord } from '../graph/node.tsx'
import { KindIcon, kindWord } from '../kinds.tsx'
import { payloadOf } from '../model/events.ts'
import type { RunModel, Step } from '../model/model.ts'
import { Checkpoint } from './checkpoint.tsx'
import { Command, Facts, Frame, type InspectorProps, Keys, shell } from './frame.tsx'
import { Payload } from './payload.tsx'
import { Attempts, Times, TimesAt } from './times.tsx'

export function StepPart({
  inspected: { summary, view },
  selected,
  step,
  then,
  onFork,
}: InspectorProps & { readonly step: Step }) {
  const open = step.endedAt === null && step.startedAt !== null && !view.closed
  const { runId } = summary
  const { path } = selected.selection
  const own = step.events.filter((i) => i < view.length).map((i) => view.events[i]!.json)
  const ends = own.filter(({ type }) => payloadOf(type) !== null && type !== 'AttemptFailed')
  const failed = own.filter(({ type }) => type === 'AttemptFailed').at(-1)
  const last = ends.at(-1)
  const set = last?.data?.set === true
  const isStep = step.kind === 'step' || step.kind === 'transaction'
  const to = (key: string) => () => selected.select({ path, step: key })
  return (
    <Frame
      kind={
        <>
          <KindIcon kind={step.kind} /> {kindWord(step.kind)}, operation {step.op}
        </>
      }
      title={<bdi>{cutName(step.key)}</bdi>}
      onClose={() => selected.select(null)}
    >
      <div className="row">
        <Status status={step.shown === 'ghost' ? 'pending' : step.shown} text={shownWord[step.shown]} />
        {set && <span className="badge">result given by a fork</span>}
        {path === '' && onFork !== null && step.shown !== 'ghost' && (
          <button type="button" className="small" onClick={() => onFork(step.key)}>
            Rerun from here…
          </button>
        )}
      </div>
      {open ? (
        <Times step={step} view={view} then={then} />
      ) : (
        <TimesAt step={step} view={view} now={then ?? Date.now()} />
      )}
      {last !== undefined && (
        <Payload
          key={last.seq}
          title={last.type === 'SignalReceived' ? 'Message' : last.type === 'UpdateReceived' ? 'Argument' : 'Output'}
          runId={runId}
          event={last}
        />
      )}
      {last === undefined && failed !== undefined && (
        <Payload key={failed.seq} title="Error" runId={runId} event={failed} />
      )}
      {isStep && open && then === null && <Checkpoint runId={runId} op={step.op} />}
      {step.child !== null && (
        <p>
          child run{' '}
          <Link href={runHref(step.child.runId)}>
            <bdi>{cutName(step.child.id)}</bdi>
          </Link>
        </p>
      )}
      {isStep && <Attempts step={step} view={view} then={then} selected={selected} />}
      <Facts
        facts={[
          step.where !== null && [
            'asked for at',
            <Copyable key="where" text={step.where} label={`Copy ${step.where}`} />,
          ],
          isStep && ['idempotency key', <Copyable key="key" text={`${runId}:${step.op}`} />],
          step.dueAt !== null && open && ['due', <Time key="due" at={step.dueAt} />],
          step.name !== step.key && ['name', <bdi key="name">{cutName(step.name)}</bdi>],
          ['came after', <Keys key="after" keys={afterOf(step, view)} to={to} />],
        ]}
      />
      {isStep && step.shown !== 'ghost' && (
        <section className="payload">
          <h3>Look into it</h3>
          <Command text={`npx stet replay ${shell(runId)} --at ${shell(step.key)}`} />
          <Command text={`npx stet replay ${shell(runId)} --inspect --break ${shell(`step:${step.key}`)}`} />
        </section>
      )}
      <section className="payload">
        <h3>Events</h3>
        <div className="event-links">
          {own.slice(0, 100).map(({ seq, type }) => (
            <button
              key={seq}
              type="button"
              className="plain small"
              onClick={() => selected.select({ path, step: step.key, event: seq })}
            >
              {seq} {type}
            </button>
          ))}
          {own.length === 0 && <span className="muted">no event mentions it yet</span>}
        </div>
      </section>
    </Frame>
  )
}

function afterOf(step: Step, { steps }: RunModel): string[] {
  return step.after
    .slice(0, 12)
    .map((index) => (index < 0 ? 'start' : steps[index]!.key))
    .concat(step.after.length > 12 ? ['…'] : [])
}
