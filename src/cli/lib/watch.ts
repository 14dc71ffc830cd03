/** Tells when a source file of a project changes. */
import { type FSWatcher, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isIgnoredFolder } from './glob.js'

const isSource = (name: string) => /\.([mc]?[jt]sx?|json)$/.test(name)

/** More folders than this are not watched: the limit of a system is near then. */
const maxFolders = 2_000

/**
 * Calls back once for changes that come close together, with one of the files. Folders that are made later are watched
 * too. Nothing below node_modules, dist or a hidden folder counts.
 */
export function watchSources(root: string, debounceMs: number, changed: (file: string) => void): () => void {
  const watchers = new Map<string, FSWatcher>()
  let timer: NodeJS.Timeout | undefined
  const notice = (file: string) => {
    clearTimeout(timer)
    timer = setTimeout(() => changed(file), debounceMs)
  }
  const drop = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const add = (folder: string): void => {
    if (watchers.has(folder) || watchers.size >= maxFolders) return
    try {
      const entries = readdirSync(folder, { withFileTypes: true })
      const watcher = watch(folder, (_event, name) => {
        if (name === null) return
        if (isSource(name)) notice(join(folder, name))
        // Perhaps a new folder; if it is none, reading it fails.
        else if (!isIgnoredFolder(name)) add(join(folder, name))
      })
      watcher.on('error', () => drop(folder))
      watchers.set(folder, watcher)
      for (const entry of entries) {
        if (entry.isDirectory() && !isIgnoredFolder(entry.name)) add(join(folder, entry.name))
      }
    } catch {
      // Not a folder, or gone again.
    }
  }
  add(root)
  return () => {
    clearTimeout(timer)
    for (const folder of [...watchers.keys()]) drop(folder)
  }
}
