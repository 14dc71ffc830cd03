/** The dialog that stands before whatever page there is: one at most. */
import { useSyncExternalStore } from 'react'

export type Open =
  | { readonly kind: 'start'; readonly workflow?: string }
  | { readonly kind: 'palette' }
  | { readonly kind: 'help' }

let open: Open | null = null
const told = new Set<() => void>()

export function openDialog(next: Open | null): void {
  open = next
  for (const each of told) each()
}

/** Offers to start a run, of this workflow. */
export const openStart = (workflow?: string): void =>
  openDialog({ kind: 'start', ...(workflow === undefined ? {} : { workflow }) })

export function useDialog(): Open | null {
  return useSyncExternalStore(
    (changed) => {
      told.add(changed)
      return () => told.delete(changed)
    },
    () => open,
  )
}
