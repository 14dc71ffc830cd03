/** Light, dark, or as the system has it: kept in this browser. */
import { useSyncExternalStore } from 'react'

export type Theme = 'system' | 'light' | 'dark'

const key = 'stet.theme'
const told = new Set<() => void>()

function stored(): Theme {
  const value = localStorage.getItem(key)
  return value === 'light' || value === 'dark' ? value : 'system'
}

function apply(theme: Theme): void {
  const { classList } = document.documentElement
  classList.toggle('light', theme === 'light')
  classList.toggle('dark', theme === 'dark')
}

apply(stored())

export function setTheme(theme: Theme): void {
  if (theme === 'system') localStorage.removeItem(key)
  else localStorage.setItem(key, theme)
  apply(theme)
  for (const each of told) each()
}

export function useTheme(): Theme {
  return useSyncExternalStore((changed) => {
    told.add(changed)
    return () => told.delete(changed)
  }, stored)
}
