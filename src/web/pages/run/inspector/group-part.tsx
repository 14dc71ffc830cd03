import { useVirtualizer } from '@tanstack/react-virtual'
import { useMemo, useRef, useState } from 'react'
import { count } from '../../../lib/format.ts'
import { Status } from '../../../parts/status.tsx'
import { cutName, shownWord } from '../graph/node.tsx'
import { worstFirst } from '../model/scene.ts'
import { Frame, type InspectorProps } from './frame.tsx'

/** The members of a group, those that need somebody first. */
export function GroupPart({
  inspected: { view },
  selected,
  members,
}: InspectorProps & { readonly members: readonly number[] }) {
  const [filter, setFilter] = useState('')
  const { path } = selected.selection
  const found = useMemo(() => {
    const wanted = filter.toLowerCase()
    const rank = new Map(worstFirst.map((shown, i) => [shown, i]))
    return members
      .map((index) => view.steps[index]!)
      .filter(
        ({ key, shown }) => wanted === '' || key.toLowerCase().includes(wanted) || shownWord[shown].includes(wanted),
      )
      .sort((a, b) => rank.get(a.shown)! - rank.get(b.shown)! || a.index - b.index)
  }, [members, view, filter])
  const scroll = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => 30,
    overscan: 8,
  })
  return (
    <Frame kind="group of steps" title={`${count(members.length)} steps`} onClose={() => selected.select(null)}>
      <input
        type="search"
        placeholder="key or status"
        aria-label="Filter the steps"
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      <div className="group-list" ref={scroll}>
        <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {rows.getVirtualItems().map(({ index, start, size }) => {
            const step = found[index]!
            return (
              <button
                key={step.key}
                type="button"
                className="plain group-row"
                style={{ transform: `translateY(${start}px)`, height: size }}
                onClick={() => selected.select({ path, step: step.key })}
              >
                <bdi className="cut grow">{cutName(step.key)}</bdi>
                <Status status={step.shown === 'ghost' ? 'pending' : step.shown} text={shownWord[step.shown]} />
              </button>
            )
          })}
        </div>
      </div>
    </Frame>
  )
}
