/** The time, for what shows how long something has taken so far: one clock for all of a page, and none while it is hidden. */
import { useSyncExternalStore } from 'react'

const told = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | null = null
let now = Date.now()

function tick(): void {
  if (document.hidden) return
  now = Date.now()
  for (const each of told) each()
}

function subscribe(changed: () => void): () => void {
  told.add(changed)
  timer ??= setInterval(tick, 1_000)
  return () => {
    told.delete(changed)
    if (told.size > 0 || timer === null) return
    clearInterval(timer)
    timer = null
  }
}

/** ms since the epoch, anew each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}
