import { useEffect, useId, useRef, useState } from 'react'
import { useLocation } from 'wouter'
import { openDialog, openStart } from '../lib/dialogs.ts'
import { findRun, runHref } from '../lib/find-run.ts'
import { useMay } from '../lib/session.ts'
import { setTheme } from '../lib/theme.ts'
import { useWorkflows } from '../lib/workflows.ts'
import './palette.css'

interface Command {
  readonly name: string
  readonly kind: string
  /** A text: what is in the way. Nothing: it is done, and the palette closes. */
  readonly run: () => Promise<string | void> | void
}

/** Everything by name: pages, runs, what can be started. */
export function Palette({
  pages,
  onClose,
}: {
  readonly pages: readonly { readonly path: string; readonly title: string }[]
  readonly onClose: () => void
}) {
  const [, go] = useLocation()
  const may = useMay('operate')
  const workflows = useWorkflows()
  const dialog = useRef<HTMLDialogElement>(null)
  const next = useRef<(() => void) | null>(null)
  const id = useId()
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const [problem, setProblem] = useState<string | null>(null)
  useEffect(() => dialog.current?.showModal(), [])

  const wanted = text.trim().toLowerCase()
  const commands: Command[] = [
    ...pages.map(({ path, title }) => ({ name: title, kind: 'page', run: () => go(path) })),
    ...(may
      ? [
          { name: 'Start a run', kind: 'action', run: () => later(() => openStart()) },
          ...workflows.map(({ name }) => ({
            name: `Start ${name}`,
            kind: 'action',
            run: () => later(() => openStart(name)),
          })),
        ]
      : []),
    ...(['light', 'dark', 'system'] as const).map((theme) => ({
      name: `Colours: ${theme === 'system' ? 'as the system' : theme}`,
      kind: 'action',
      run: () => setTheme(theme),
    })),
    { name: 'Keys', kind: 'help', run: () => later(() => openDialog({ kind: 'help' })) },
  ]
  // Another dialog opens when this one is gone.
  function later(then: () => void): void {
    next.current = then
  }
  const fitting = commands.filter(({ name }) => wanted.split(/\s+/).every((word) => name.toLowerCase().includes(word)))
  const find: Command = {
    name: `Go to the run ${text.trim()}`,
    kind: 'run',
    run: async () => {
      const run = await findRun(text.trim())
      if (run === null) return `No run has the id or run id "${text.trim()}".`
      go(runHref(run.runId))
    },
  }
  const options = [...fitting.slice(0, 12), ...(wanted === '' ? [] : [find])]
  const active = Math.min(at, options.length - 1)
  const run = async (command: Command | undefined) => {
    if (command === undefined) return
    try {
      const wrong = await command.run()
      if (typeof wrong === 'string') setProblem(wrong)
      else dialog.current?.close()
    } catch (error) {
      setProblem((error as Error).message)
    }
  }
  return (
    <dialog
      ref={dialog}
      className="palette"
      aria-label="Go to, find, do"
      onClose={() => {
        onClose()
        next.current?.()
      }}
    >
      <input
        role="combobox"
        aria-label="What to go to, find or do"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={options[active] === undefined ? undefined : `${id}-${active}`}
        aria-autocomplete="list"
        placeholder="a page, an id of a run, something to do"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value)
          setAt(0)
          setProblem(null)
        }}
        onKeyDown={(event) => {
          const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
          if (by !== 0) setAt((active + by + options.length) % options.length)
          else if (event.key === 'Enter') void run(options[active])
          else return
          event.preventDefault()
        }}
      />
      <div role="listbox" id={`${id}-list`} aria-label="What there is" className="options">
        {options.map((option, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the combobox's
          <div
            key={option.kind + option.name}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === active}
            tabIndex={-1}
            onPointerMove={() => setAt(i)}
            onClick={() => run(option)}
          >
            <span className="cut">{option.name}</span>
            <span className="muted">{option.kind}</span>
          </div>
        ))}
      </div>
      {problem !== null && (
        <p className="wrong" role="alert">
          {problem}
        </p>
      )}
    </dialog>
  )
}
