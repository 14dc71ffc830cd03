/**
 * A worker as a child process of `stet dev` or `stet worker --processes`: told what to do by messages. Ctrl-C in a
 * terminal reaches it as well as its parent, so it leaves SIGINT to the parent.
 */
import { fork } from 'node:child_process'
import { programFile } from '../../core/package.js'
import type { WorkerSpec } from './worker-process.js'

export type ToChild = { readonly work: WorkerSpec } | 'drain'
export type FromChild = { readonly started: string[] }

export interface Child {
  readonly pid: number
  /** Resolves with the exit code; null: ended by a signal. */
  readonly exited: Promise<number | null>
  drain(): void
  kill(): void
}

/** `started` is told the names of the workflows once the worker takes runs. */
export function forkWorker(spec: WorkerSpec, started: (workflows: string[]) => void = () => {}): Child {
  const child = fork(programFile('cli/programs/worker'), [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.on('error', () => {})
  child.on('message', (message: FromChild) => started(message.started))
  child.send({ work: spec } satisfies ToChild)
  return {
    pid: child.pid!,
    exited: new Promise((resolve) => child.once('exit', (code) => resolve(code))),
    drain: () => {
      if (child.connected) child.send('drain' satisfies ToChild)
    },
    kill: () => child.kill('SIGKILL'),
  }
}
