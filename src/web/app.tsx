import { useQueryClient } from '@tanstack/react-query'
import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from 'react'
import { Link, Route, Switch, useLocation } from 'wouter'
import { del, onSignedOut } from './lib/api.ts'
import { sumOf, useCounts } from './lib/counts.ts'
import { openDialog, openStart, useDialog } from './lib/dialogs.ts'
import { useFeed, useLine } from './lib/feed.ts'
import { count } from './lib/format.ts'
import { useKeys } from './lib/keys.ts'
import { useAlerts } from './lib/ops.ts'
import { useMay, useSession } from './lib/session.ts'
import { setTheme, type Theme, useTheme } from './lib/theme.ts'
import { useTitle } from './lib/title.ts'
import { Empty } from './parts/basics.tsx'
import { Help } from './parts/help.tsx'
import { Palette } from './parts/palette.tsx'
import { SignIn } from './parts/sign-in.tsx'
import { StartDialog, StartForm } from './parts/start-run.tsx'
import './styles/shell.css'

/** The pages, as the navigation has them; each is loaded when it is first shown. */
const pages = [
  { path: '/', title: 'Overview', key: 'o', Page: lazy(() => import('./pages/overview/overview-page.tsx')) },
  { path: '/runs', title: 'Runs', key: 'r', Page: lazy(() => import('./pages/runs/runs-page.tsx')) },
  { path: '/statistics', title: 'Metrics', key: 'm', Page: lazy(() => import('./pages/metrics/metrics-page.tsx')) },
  { path: '/workers', title: 'Workers', key: 'w', Page: lazy(() => import('./pages/workers/workers-page.tsx')) },
  {
    path: '/queues',
    title: 'Queues and limits',
    key: 'q',
    Page: lazy(() => import('./pages/queues/queues-page.tsx')),
  },
  {
    path: '/schedules',
    title: 'Schedules',
    key: 's',
    Page: lazy(() => import('./pages/schedules/schedules-page.tsx')),
  },
  { path: '/alerts', title: 'Alerts', key: 'a', Page: lazy(() => import('./pages/alerts/alerts-page.tsx')) },
] as const
const BulksPage = lazy(() => import('./pages/runs/bulks-page.tsx'))
const RunPage = lazy(() => import('./pages/run/run-page.tsx'))

export function App() {
  const client = useQueryClient()
  const [asked, setAsked] = useState(false)
  useEffect(() => onSignedOut(() => setAsked(true)), [])
  if (!asked) return <Shell />
  return (
    <SignIn
      onDone={() => {
        // What one was told may not be what another is.
        client.clear()
        setAsked(false)
      }}
    />
  )
}

function Shell() {
  const client = useQueryClient()
  useFeed('counts', { onCounts: (counts) => client.setQueryData(['counts'], counts) })
  return (
    <div className="shell">
      <Side />
      <main className="page" id="main">
        <Suspense fallback={null}>
          <Switch>
            {pages.map(({ path, title, Page }) => (
              <Route key={path} path={path}>
                <Titled title={title}>
                  <Page />
                </Titled>
              </Route>
            ))}
            <Route path="/start">
              <Titled title="Start a run">
                <div className="stack form-page">
                  <h1>Start a run</h1>
                  <StartForm />
                </div>
              </Titled>
            </Route>
            <Route path="/bulks">
              <Titled title="Bulks">
                <BulksPage />
              </Titled>
            </Route>
            <Route path="/runs/:run">{() => <OneRun />}</Route>
            <Route>
              <Titled title="Nothing here">
                <Empty command="stet list">There is no such page.</Empty>
              </Titled>
            </Route>
          </Switch>
        </Suspense>
      </main>
      <Dialogs />
    </div>
  )
}

function Titled({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  useTitle(title)
  return children
}

function OneRun() {
  // Of the address as it stands: the router has taken part of its encoding away.
  const [, , encoded = ''] = window.location.pathname.split('/')
  const run = decoded(encoded)
  return <RunPage key={run} run={run} />
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What stands before the page, and the keys that are the same on all of them. */
function Dialogs() {
  const open = useDialog()
  const [, go] = useLocation()
  const may = useMay('operate')
  const gone = useRef(0)
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return
      event.preventDefault()
      if (document.querySelector('dialog[open]') === null) openDialog({ kind: 'palette' })
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }, [])
  const second = (path: string) => (event: KeyboardEvent) => {
    if (event.timeStamp - gone.current > 1_500) return
    gone.current = 0
    event.preventDefault()
    go(path)
  }
  useKeys({
    ...Object.fromEntries(pages.map(({ key, path }) => [key, second(path)])),
    g: (event) => {
      gone.current = event.timeStamp
    },
    '?': () => openDialog({ kind: 'help' }),
  })
  const close = () => openDialog(null)
  if (open === null) return null
  if (open.kind === 'help') return <Help onClose={close} />
  if (open.kind === 'palette') return <Palette pages={pages} onClose={close} />
  return may ? (
    <StartDialog {...(open.workflow === undefined ? {} : { workflow: open.workflow })} onClose={close} />
  ) : null
}

function Side() {
  const [path] = useLocation()
  const session = useSession()
  const may = useMay('operate')
  const line = useLine()
  const theme = useTheme()
  const counts = useCounts()
  const blocked = counts && sumOf(counts, ['blocked'])
  const firing = useAlerts().data?.firing.length ?? 0
  const badges: Readonly<Record<string, ReactNode>> = {
    '/alerts': firing > 0 && (
      <span className="badge firing" title={`${firing} firing`}>
        {count(firing)} <span className="visually-hidden">firing</span>
      </span>
    ),
    '/runs': blocked !== undefined && blocked.n > 0 && (
      <span className="badge" title={`${blocked.text} blocked`}>
        {blocked.text} <span className="visually-hidden">blocked</span>
      </span>
    ),
  }
  return (
    <div className="side">
      <Link href="/" className="brand">
        <img src="/icon.svg" alt="" width="22" height="22" />
        stet
      </Link>
      <nav aria-label="Pages">
        {pages.map((page) => (
          <Link
            key={page.path}
            href={page.path}
            aria-current={
              page.path === path || (page.path !== '/' && path.startsWith(`${page.path}/`)) ? 'page' : undefined
            }
          >
            {page.title}
            {badges[page.path]}
          </Link>
        ))}
      </nav>
      <div className="tools">
        <button type="button" onClick={() => openDialog({ kind: 'palette' })}>
          Find <kbd>Ctrl K</kbd>
        </button>
        {may && (
          <button type="button" onClick={() => openStart()}>
            Start a run
          </button>
        )}
      </div>
      <div className="foot">
        <span className="line" data-line={line} role="status">
          {{ live: 'live', connecting: 'connecting', cut: 'line cut, trying again', idle: 'not live' }[line]}
        </span>
        <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)} aria-label="Colours">
          <option value="system">as the system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
        {session !== undefined && (
          <span title={`on record as ${session.actor}`}>
            you may <b>{session.role}</b>{' '}
            {session.actor !== 'local' && (
              <button type="button" className="plain" onClick={() => del('/api/session').then(() => location.reload())}>
                sign out
              </button>
            )}
          </span>
        )}
        <button type="button" className="plain" onClick={() => openDialog({ kind: 'help' })}>
          Keys <kbd>?</kbd>
        </button>
      </div>
    </div>
  )
}
