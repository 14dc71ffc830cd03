/**
 * A module that runs in a process of its own and answers questions there: the code of a user is loaded in it, and is
 * gone with it. The module calls `answering`; whoever asks it calls `apart` with the same module.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { StetError } from '../../core/errors.js'
import { environmentApart } from '../../settings.js'

type Answer = { readonly ok: unknown } | { readonly error: { readonly code: string; readonly message: string } }

export interface Apart {
  /** Answers come in the order of the questions, one after the other. @throws StetError what the answer threw; code `process_ended` when the process ends */
  ask(question: unknown): Promise<any>
  close(): Promise<void>
}

/** Starts the process. `talk`: where what the user's code prints goes. */
export function apart(moduleUrl: string, talk: 'stderr' | 'nowhere' = 'nowhere'): Apart {
  const output = talk === 'stderr' ? 2 : 'ignore'
  const child = fork(fileURLToPath(moduleUrl), [], {
    stdio: ['ignore', output, output, 'ipc'],
    serialization: 'advanced',
    execArgv: [],
    env: environmentApart(),
  })
  let gone = false
  /** Questions without an answer, in their order. */
  const asked: { resolve(value: unknown): void; reject(error: StetError): void }[] = []
  const ended = () => new StetError('process_ended', 'the process of the replay ended: the code ended it.')
  const exited = new Promise<void>((resolve) =>
    child.once('exit', () => {
      gone = true
      for (const { reject } of asked.splice(0)) reject(ended())
      resolve()
    }),
  )
  child.on('message', (answer: Answer) => {
    const { resolve, reject } = asked.shift()!
    if ('ok' in answer) resolve(answer.ok)
    else reject(new StetError(answer.error.code, answer.error.message))
  })
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (gone) return reject(ended())
        asked.push({ resolve, reject })
        child.send(question as object)
      }),
    close: () => {
      child.kill('SIGKILL')
      return exited
    },
  }
}

/** To be called by a module when it is loaded: does nothing unless this process is one that `apart` has started for it. */
export function answering(moduleUrl: string, answer: (question: any) => Promise<unknown>): void {
  if (process.argv[1] !== fileURLToPath(moduleUrl) || process.send === undefined) return
  // A terminal sends Ctrl-C to all of its processes: the one that asks decides.
  process.on('SIGINT', () => {})
  process.on('disconnect', () => process.exit(0))
  let before: Promise<unknown> = Promise.resolve()
  process.on('message', (question) => {
    before = before
      .then(() => answer(question))
      .then(
        (ok) => process.send!({ ok } satisfies Answer),
        ({ code, message }) => process.send!({ error: { code: String(code ?? 'failed'), message } } satisfies Answer),
      )
  })
}
