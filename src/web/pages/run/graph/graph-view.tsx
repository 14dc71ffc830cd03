/**
 * The graph of a run as it becomes.
 *
 * V1. It is laid out anew only when its boxes or edges change (S2); how steps stand changes no place.
 * V2. A box is drawn anew only when what it says has changed.
 */
import { MiniMap, ReactFlow, ReactFlowProvider } from '@xyflow/react'
import '@xyflow/react/dist/base.css'
import { type KeyboardEvent, type MouseEvent, useCallback, useMemo, useRef, useState } from 'react'
import { childPath, criticalIn, type Opened, sceneOf } from '../model/scene.ts'
import type { Selected } from '../selection.ts'
import { boxesOf, hidden, selectionOf } from './boxes.ts'
import { CriticalNote } from './critical-note.tsx'
import { Edges } from './edge.tsx'
import type { Direction } from './layout.ts'
import { neighbour } from './neighbour.ts'
import { cutName, type NodeData, StepNode } from './node.tsx'
import { type Aim, useCamera } from './use-camera.ts'
import { useDrawn } from './use-drawn.ts'
import { useLayout } from './use-layout.ts'
import './graph.css'

export interface GraphProps {
  readonly runs: ReadonlyMap<string, Opened>
  readonly selected: Selected
  /** The moment that is shown, ms since the epoch; null: now. */
  readonly then: number | null
}

const nodeTypes = { step: StepNode as any }
const proOptions = { hideAttribution: true }

export function GraphView(props: GraphProps) {
  return (
    <ReactFlowProvider>
      <Graph {...props} />
    </ReactFlowProvider>
  )
}

function Graph({ runs, selected, then }: GraphProps) {
  const { selection, select, opened, toggle } = selected
  const [critical, setCritical] = useState(false)
  const [follow, setFollow] = useState(true)
  const [wanted, setWanted] = useState<Direction | null>(null)
  const frame = useRef<HTMLDivElement>(null)
  const scene = useMemo(() => sceneOf(runs, opened), [runs, opened])
  const { layout, direction } = useLayout(scene, wanted, frame)
  const onPath = useMemo(() => (critical && scene !== null ? criticalIn(scene, runs) : none), [critical, scene, runs])
  const root = runs.get('')?.view ?? null
  const { nodes, edges, placed } = useDrawn(scene, layout, runs, selection, onPath, then)
  const live = root !== null && !root.closed && then === null
  const aim = useRef<Aim | null>(null)
  const { show } = useCamera(aim, frame, layout, placed, root, follow)

  const boxes = useMemo(() => boxesOf(scene), [scene])
  const latest = useRef(boxes)
  latest.current = boxes
  const choose = useCallback(
    (id: string, show: boolean) => {
      const box = boxes.get(id)
      if (box === undefined) return
      select(selectionOf(box))
      if (show) document.querySelector<HTMLElement>(`[data-focus="${CSS.escape(id)}"]`)?.focus({ preventScroll: true })
    },
    [boxes, select],
  )
  const open = useCallback(
    (id: string) => {
      const box = boxes.get(id)
      if (box === undefined) return
      const { step, path } = box
      if (step === null && box.box.members.length > 0) {
        const members = new Set(box.box.members)
        aim.current = (each) => {
          const found = latest.current.get(each)
          return found?.path === path && found.box.members.some((index) => members.has(index))
        }
        toggle(id)
      } else if (step?.kind === 'child' && step.child !== null) {
        aim.current = (each) => each === id
        toggle(childPath(path, step.key))
      }
    },
    [boxes, toggle],
  )
  const foldAgain = (id: string) => {
    aim.current = () => false
    toggle(id)
  }
  const onClick = (event: MouseEvent) => {
    const target = event.target as Element
    const opens = target.closest<HTMLElement>('[data-open]')?.dataset.open
    const id = target.closest<HTMLElement>('[data-focus]')?.dataset.focus
    if (opens !== undefined) open(opens)
    else if (id !== undefined) choose(id, false)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const id = (event.target as HTMLElement).closest<HTMLElement>('[data-focus]')?.dataset.focus
    if (id === undefined || scene === null || layout === null || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === 'Enter') {
      event.preventDefault()
      choose(id, false)
      open(id)
      return
    }
    const next = neighbour(event.key, id, layout)
    if (next === null) return
    event.preventDefault()
    choose(next, true)
    show(next)
  }

  const folded = scene === null ? 0 : hidden(scene)
  return (
    <div className="graph" ref={frame} data-direction={direction} data-laid={layout === null ? undefined : ''}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the boxes in it are buttons; this hears them all */}
      <div className="canvas" onKeyDown={onKeyDown}>
        <ReactFlow
          nodes={nodes}
          nodeTypes={nodeTypes}
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          disableKeyboardA11y
          deleteKeyCode={null}
          selectionKeyCode={null}
          multiSelectionKeyCode={null}
          zoomOnDoubleClick={false}
          panOnScroll={false}
          minZoom={0.05}
          maxZoom={1.6}
          proOptions={proOptions}
          onNodeClick={onClick}
          onMoveStart={(event) => event !== null && setFollow(false)}
          aria-label="Graph of the run"
        >
          <Edges edges={edges} />
          {nodes.length > 8 && (
            <MiniMap
              pannable
              zoomable
              ariaLabel="Map of the graph"
              nodeClassName={(node) => `tone-${(node.data as NodeData).shown}`}
              nodeBorderRadius={6}
              bgColor="var(--surface)"
              maskColor="var(--mask)"
            />
          )}
        </ReactFlow>
      </div>
      {scene === null && <div className="veil muted">reading…</div>}
      <div className="tools" role="toolbar" aria-label="Graph">
        <button type="button" onClick={() => show(null)} title="show all of it">
          Fit
        </button>
        <button
          type="button"
          onClick={() => setWanted(direction === 'down' ? 'right' : 'down')}
          title="draw it the other way"
          aria-label={direction === 'down' ? 'Draw it from left to right' : 'Draw it from top to bottom'}
        >
          {direction === 'down' ? '↓' : '→'}
        </button>
        <button type="button" aria-pressed={critical} onClick={() => setCritical(!critical)}>
          Critical path
        </button>
        {(live || then !== null) && (
          <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)} title="keep what runs in view">
            Follow
          </button>
        )}
      </div>
      {(opened.size > 0 || critical || folded > 0) && (
        <div className="notes">
          {[...opened].slice(0, 6).map((id) => (
            <button key={id} type="button" onClick={() => foldAgain(id)} title="fold it again">
              <bdi className="cut">{openedName(id)}</bdi> ✕
            </button>
          ))}
          {critical && root !== null && <CriticalNote model={root} then={then} />}
          {folded > 0 && <span>{folded.toLocaleString('en')} steps are folded into groups; + opens one</span>}
        </div>
      )}
    </div>
  )
}

const none: ReadonlySet<string> = new Set()

/** What was opened, for people: the step that it is named after. */
function openedName(id: string): string {
  return cutName(
    id
      .replace(/»$/, '')
      .replace(/^.*»/, '')
      .replace(/^(fan|chain|part|child):/, ''),
  )
}
