/** A status, told by icon, word and colour: never by colour alone. */

const paths: Readonly<Record<string, string>> = {
  completed: 'M3 8.5l3.2 3.2L13 5',
  running: 'M5 3.5v9l7.5-4.5z',
  waiting: 'M4 2.5h8M4 13.5h8M4.5 2.5c0 3 3.5 4 3.5 5.5s-3.5 2.5-3.5 5.5M11.5 2.5c0 3-3.5 4-3.5 5.5s3.5 2.5 3.5 5.5',
  pending: 'M8 2.5a5.5 5.5 0 1 0 .01 0zM8 5v3.2l2 1.6',
  paused: 'M5.5 3.5v9M10.5 3.5v9',
  blocked: 'M8 2l6.3 11H1.7zM8 6.3v3M8 11.3v.2',
  retrying: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3',
  failed: 'M4 4l8 8M12 4l-8 8',
  cancelled: 'M8 2.5a5.5 5.5 0 1 0 .01 0zM4.2 11.8l7.6-7.6',
  terminated: 'M4 4h8v8H4z',
  continued: 'M3 4l4 4-4 4M9 4l4 4-4 4',
  skipped: 'M3 8h10',
}

export function StatusIcon({ status }: { readonly status: string }) {
  return (
    <svg viewBox="0 0 16 16" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round">
      <path d={paths[status] ?? paths.pending} strokeLinejoin="round" />
    </svg>
  )
}

/** How something other than a run stands: the icon and the colour of a status, with a word of its own. */
export interface Mark {
  readonly tone: string
  readonly icon: string
  readonly word: string
}

export function StateMark({ tone, icon, word }: Mark) {
  return (
    <span className={`status tone-${tone}`}>
      <StatusIcon status={icon} />
      {word}
    </span>
  )
}

export function Status({ status, text = status }: { readonly status: string; readonly text?: string }) {
  return (
    <span className={`status tone-${status}`} data-status={status}>
      <StatusIcon status={status} />
      {text}
    </span>
  )
}
