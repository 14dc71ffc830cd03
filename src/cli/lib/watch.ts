/** Tells when a source file of a project changes. */
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { join, sep } from 'node:path'
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
    for (const [path, watcher] of watchers) {
      if (path !== folder && !path.startsWith(folder + sep)) continue
      watcher.close()
      watchers.delete(path)
    }
  }
  const add = (folder: string, isNew: boolean): void => {
    if (watchers.has(folder) || watchers.size >= maxFolders) return
    try {
      const watcher = watch(folder, (_event, name) => {
        if (name === null) return
        const path = join(folder, name)
        if (isSource(name)) notice(path)
        else if (!isIgnoredFolder(name)) {
          // A folder that came, went, or went and came again (a checkout): what watched the old one sees nothing more.
          drop(path)
          if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) add(path, true)
        }
      })
      watcher.on('error', () => drop(folder))
      watchers.set(folder, watcher)
      // Read after the watching began, so that nothing falls between.
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory() && !isIgnoredFolder(entry.name)) add(join(folder, entry.name), isNew)
        // Written before anybody watched.
        else if (isNew && isSource(entry.name)) notice(join(folder, entry.name))
      }
    } catch {
      // Gone again, or not ours to read.
      drop(folder)
    }
  }
  add(root, false)
  return () => {
    clearTimeout(timer)
    for (const watcher of watchers.values()) watcher.close()
  }
}
