/** Filters that were kept under a name, in this browser. */
import { useSyncExternalStore } from 'react'

export interface SavedFilter {
  readonly name: string
  readonly text: string
}

const key = 'stet.filters'
const told = new Set<() => void>()

/** There from the beginning. */
const ready: readonly SavedFilter[] = [
  { name: 'open', text: 'status:open' },
  { name: 'failed today', text: 'status:failed after:today' },
  { name: 'blocked', text: 'status:blocked' },
]

let known: readonly SavedFilter[] | null = null

function read(): readonly SavedFilter[] {
  if (known !== null) return known
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? '[]')
    known = Array.isArray(stored) ? stored.filter(isSaved) : []
  } catch {
    known = []
  }
  return known
}

function isSaved(value: any): value is SavedFilter {
  return typeof value?.name === 'string' && typeof value.text === 'string'
}

function write(next: readonly SavedFilter[]): void {
  known = next
  localStorage.setItem(key, JSON.stringify(next))
  for (const each of told) each()
}

export function useSaved() {
  const saved = useSyncExternalStore((changed) => {
    told.add(changed)
    return () => told.delete(changed)
  }, read)
  return {
    saved,
    ready,
    /** One of the same name is replaced. */
    keep: (name: string, text: string) => write([...read().filter((each) => each.name !== name), { name, text }]),
    forget: (name: string) => write(read().filter((each) => each.name !== name)),
  }
}
