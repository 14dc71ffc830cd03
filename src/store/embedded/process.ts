/**
 * Facts about processes: is this pid alive, is it the server of this folder, could it be seen from here at all.
 * A pid in a file says nothing by itself: after a reboot or in another container it names something else.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync, statSync } from 'node:fs'

/** True unless the process is gone. A zombie is gone: it only waits for a parent that may never ask. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const state = procStat(pid)?.[0]
  return state !== 'Z' && state !== 'X'
}

/** Tells a process from a later one with the same pid; undefined where the system does not say cheaply. */
export function processStart(pid: number): string | undefined {
  return procStat(pid)?.[19]
}

/** The fields of /proc/<pid>/stat after the name, which may itself hold blanks and brackets. */
function procStat(pid: number): string[] | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/**
 * Is this live process the postmaster of the cluster in `data`? A postmaster has its data folder as its working
 * directory, which stays true when the project is moved, and is false for a copy of it. Where that cannot be seen its
 * command line is asked, which holds `-D <data>`. Undefined: the system does not say.
 */
export function isPostmasterOf(pid: number, data: string): boolean | undefined {
  const command = commandOf(pid)
  if (command === undefined) return undefined
  // Its children have the same folder and call themselves `postgres: …`.
  if (!command.includes('postgres') || command.startsWith('postgres: ')) return false
  try {
    const at = statSync(`/proc/${pid}/cwd`)
    const ours = statSync(data)
    return at.dev === ours.dev && at.ino === ours.ino
  } catch {
    return command.includes(`-D ${data} `)
  }
}

function commandOf(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    if (process.platform === 'win32') return undefined
    return execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' })
  } catch {
    return undefined
  }
}

/** Where a pid has a meaning: one boot of one machine, one pid namespace (a container has its own). */
export interface Place {
  boot: string
  pids: string
}

/** Undefined where there are no pid namespaces. */
export function here(): Place | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return { boot, pids: readlinkSync('/proc/self/ns/pid') }
  } catch {
    return undefined
  }
}

/** The same machine since the same boot, but behind a wall: its processes may be alive and we cannot see them. */
export function isHiddenFromHere(place: Place | undefined): boolean {
  const now = here()
  return Boolean(place && now && place.boot === now.boot && place.pids !== now.pids)
}
