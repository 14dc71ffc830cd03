/** Keys that work wherever one is on a page, but not while something is being written or asked. */
import { useEffect, useRef } from 'react'

export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>

/** True while keys mean letters, or a dialog has them all. */
export function isBusy(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null
  return (
    target?.closest?.('input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]') != null ||
    document.querySelector('dialog[open]') !== null
  )
}

/** By `event.key`. Without Ctrl, Alt or Cmd; what handles a key calls `preventDefault` itself. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys)
  latest.current = keys
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isBusy(event)) return
      if (Object.hasOwn(latest.current, event.key)) latest.current[event.key]!(event)
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }, [])
}
