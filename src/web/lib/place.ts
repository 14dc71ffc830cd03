/** What is chosen on a page, kept in its address: a link to it shows the same. */
import { useCallback, useMemo } from 'react'
import { useLocation, useSearch } from 'wouter'

export interface Place {
  get(key: string): string | null
  all(key: string): string[]
  /** Null and '' take a key away. By default the step back of the browser undoes it. */
  set(values: Readonly<Record<string, string | readonly string[] | null>>, how?: { replace?: boolean }): void
}

export function usePlace(): Place {
  // What the router gives has lost part of its encoding: it says when the address changes, the window what it is.
  const changed = useSearch()
  const [, go] = useLocation()
  const params = useMemo(() => new URLSearchParams(window.location.search), [changed])
  const set = useCallback<Place['set']>(
    (values, { replace = false } = {}) => {
      // Of the address as it is now: two changes in one turn must not undo each other.
      const next = new URLSearchParams(window.location.search)
      for (const [key, value] of Object.entries(values)) {
        next.delete(key)
        if (value === null || value === '') continue
        for (const each of Array.isArray(value) ? value : [value as string]) next.append(key, each)
      }
      const text = next.toString()
      const { pathname } = window.location
      go(text === '' ? pathname : `${pathname}?${text}`, { replace })
    },
    [go],
  )
  return { get: (key) => params.get(key), all: (key) => params.getAll(key), set }
}
