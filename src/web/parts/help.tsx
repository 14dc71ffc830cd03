import { useEffect, useRef } from 'react'

const groups: readonly { readonly title: string; readonly keys: readonly (readonly [string, string])[] }[] = [
  {
    title: 'Everywhere',
    keys: [
      ['Ctrl K, ⌘ K', 'go to a page or a run, start one, switch colours'],
      ['g then o r m w q s a', 'overview, runs, metrics, workers, queues and limits, schedules, alerts'],
      ['?', 'this list'],
      ['Esc', 'close what stands before the page'],
    ],
  },
  {
    title: 'Runs',
    keys: [
      ['/', 'search'],
      ['j k, ↓ ↑', 'next and last run'],
      ['Enter', 'open it'],
      ['x', 'choose it; Shift and a click choose all between'],
      ['n p', 'older and newer page'],
    ],
  },
]

export function Help({ onClose }: { readonly onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => ref.current?.showModal(), [])
  return (
    <dialog ref={ref} aria-label="Keys" onClose={onClose}>
      <div className="stack">
        <h2>Keys</h2>
        {groups.map(({ title, keys }) => (
          <section key={title} className="stack keys">
            <h3>{title}</h3>
            <dl>
              {keys.map(([key, means]) => (
                <div key={key}>
                  <dt>
                    <kbd>{key}</kbd>
                  </dt>
                  <dd>{means}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <div>
          <button type="button" onClick={() => ref.current?.close()}>
            Close
          </button>
        </div>
      </div>
    </dialog>
  )
}
