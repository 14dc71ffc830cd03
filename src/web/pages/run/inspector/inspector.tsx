/** What is known of what is selected: the run, a step, a group of steps, an event. */
import { EventPart } from './event-part.tsx'
import type { InspectorProps } from './frame.tsx'
import { GroupPart } from './group-part.tsx'
import { RunPart } from './run-part.tsx'
import { StepPart } from './step-part.tsx'
import './inspector.css'

export function Inspector(props: InspectorProps) {
  const { inspected, selected } = props
  const { selection } = selected
  const { view, group } = inspected
  const event = selection.event === undefined ? undefined : view.events[selection.event - 1]?.json
  const step = selection.step === undefined ? undefined : view.byKey.get(selection.step)
  if (event !== undefined) return <EventPart {...props} event={event} />
  if (step !== undefined) return <StepPart {...props} step={step} />
  if (group !== null) return <GroupPart {...props} members={group} />
  return <RunPart {...props} />
}
