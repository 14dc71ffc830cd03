/**
 * A program of `cli/programs` that runs in a process of its own and answers questions there: the code of a user is
 * loaded in it, and is gone with it. The program calls `answering`; whoever asks it calls `apart`.
 */
import { fork } from 'node:child_process'
import { StetError } from '../../core/errors.js'
import { programFile } from '../../core/package.js'
import { environmentApart } from '../../settings.js'

type Answer = { readonly ok: unknown } | { readonly error: { readonly code: string; readonly message: string } }

export interface Apart {
  /** Answers come in the order of the questions, one after the other. @throws StetError what the answer threw; code `process_ended` when the process ends */
  ask(question: unknown): Promise<any>
  close(): Promise<void>
}

/** Starts the process of `cli/programs/<program>`. `talk`: where what the user's code prints goes. */
export function apart(program: string, talk: 'stderr' | 'nowhere' = 'nowhere'): Apart {
  const output = talk === 'stderr' ? 2 : 'ignore'
  const child = fork(programFile(`cli/programs/${program}`), [], {
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

/** What the process is for. To be called once, by a process that `apart` has started. */
export function answering(answer: (question: any) => Promise<unknown>): void {
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
