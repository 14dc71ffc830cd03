/** What is selected on the page: one thing, for all its views, kept in the address. */
import { useCallback, useMemo } from 'react'
import { usePlace } from '../../lib/place.ts'

export interface Selection {
  /** In which run: '' is that of the page (S1 in `model/scene.ts`). */
  readonly path: string
  readonly step?: string
  /** A group, by its id in its run. */
  readonly group?: string
  readonly event?: number
}

export interface Selected {
  readonly selection: Selection
  select(next: Selection | null): void
  /** Groups, and paths of children, that are opened. */
  readonly opened: ReadonlySet<string>
  toggle(id: string): void
}

export function useSelection(): Selected {
  const place = usePlace()
  const [path, step, group, event] = [place.get('in'), place.get('step'), place.get('group'), place.get('event')]
  const all = place.all('open').join('\n')
  const selection = useMemo<Selection>(
    () => ({
      path: path ?? '',
      ...(step === null ? {} : { step }),
      ...(group === null ? {} : { group }),
      ...(event === null || !/^\d{1,9}$/.test(event) ? {} : { event: Number(event) }),
    }),
    [path, step, group, event],
  )
  const opened = useMemo(() => new Set(all === '' ? [] : all.split('\n')), [all])
  const { set } = place
  const select = useCallback(
    (next: Selection | null) =>
      set(
        {
          in: next?.path ?? null,
          step: next?.step ?? null,
          group: next?.group ?? null,
          event: next?.event === undefined ? null : String(next.event),
        },
        { replace: true },
      ),
    [set],
  )
  const toggle = useCallback(
    (id: string) => {
      const next = new Set(opened)
      // What is opened in it goes with it.
      if (next.delete(id)) for (const each of next) if (each.startsWith(id)) next.delete(each)
      if (!opened.has(id)) next.add(id)
      set({ open: [...next] })
    },
    [set, opened],
  )
  return { selection, select, opened, toggle }
}
