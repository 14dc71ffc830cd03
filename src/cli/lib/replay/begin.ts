/**
 * The process of a replay in a terminal takes longest to be there: it has an engine and a loader of TypeScript to load.
 * So it is begun before this process has loaded anything but this file, and told what to do when that is known. One that
 * nobody takes ends with this process.
 */
import inspector from 'node:inspector'
import { type Apart, apart } from '../apart.js'

let begun: Apart | null = null

/** Begins it if the command line, not parsed yet, looks like one for a terminal. */
export function beginReplay(args: readonly string[]): void {
  const inTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true && inspector.url() === undefined
  if (inTerminal && !args.some((arg) => /^(--json|--output|--inspect|--help|-[oh])/.test(arg))) begun = begin()
}

/** The one that was begun, else another. */
export function takeReplay(): Apart {
  const taken = begun ?? begin()
  begun = null
  return taken
}

function begin(): Apart {
  return apart('replay')
}
