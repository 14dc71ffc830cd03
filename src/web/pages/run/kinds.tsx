/** What kind of operation a step is, as an icon; the word stands beside it or in its name. */

const paths: Readonly<Record<string, string>> = {
  start: 'M4 3v10l8-5z',
  step: 'M2.5 4.5h11v7h-11z',
  transaction: 'M3 4c0-2 10-2 10 0v8c0 2-10 2-10 0zM3 4c0 2 10 2 10 0M3 8c0 2 10 2 10 0',
  timer: 'M8 3a5 5 0 1 0 .01 0zM8 5.5V8l1.8 1.5M6.5 1.5h3',
  sleep: 'M11.5 10A5.5 5.5 0 0 1 6 2.5a5.5 5.5 0 1 0 7 6.9z',
  signal:
    'M8 8v5M8 8a.6.6 0 1 0-.01 0M5 5a4.2 4.2 0 0 0 0 6M11 5a4.2 4.2 0 0 1 0 6M3 3a7 7 0 0 0 0 10M13 3a7 7 0 0 1 0 10',
  update: 'M3 6h9l-2.5-2.5M13 10H4l2.5 2.5',
  child: 'M2.5 2.5h7v5h-7zM6.5 9.5h7v4h-7zM4.5 7.5v4h2',
  condition: 'M8 2l6 6-6 6-6-6z',
  group: 'M2.5 2.5h8v6h-8zM5.5 11.5h8v-6',
}

const words: Readonly<Record<string, string>> = {
  sleep: 'timer',
  timer: 'timer',
  signal: 'signal',
  update: 'update',
  child: 'child',
  condition: 'condition',
  transaction: 'transaction',
}

export const kindWord = (kind: string): string => words[kind] ?? (kind === 'start' ? 'start' : 'step')

export function KindIcon({ kind }: { readonly kind: string }) {
  return (
    <svg
      className="kind"
      viewBox="0 0 16 16"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={paths[kind] ?? paths.step} />
    </svg>
  )
}
