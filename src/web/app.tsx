import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useState } from 'react'
import { Link, Route, Switch, useLocation } from 'wouter'
import { del, get, onSignedOut } from './lib/api.ts'
import { useLine } from './lib/feed.ts'
import { setTheme, type Theme, useTheme } from './lib/theme.ts'
import type { Session } from './lib/types.ts'
import { Empty } from './parts/basics.tsx'
import { SignIn } from './parts/sign-in.tsx'

/** The pages, as the navigation has them; each is loaded when it is first shown. */
const pages = [
  { path: '/', title: 'Overview', Page: lazy(() => import('./pages/overview/overview-page.tsx')) },
  { path: '/runs', title: 'Runs', Page: lazy(() => import('./pages/runs/runs-page.tsx')) },
  { path: '/metrics', title: 'Metrics', Page: lazy(() => import('./pages/metrics/metrics-page.tsx')) },
  { path: '/workers', title: 'Workers and queues', Page: lazy(() => import('./pages/workers/workers-page.tsx')) },
  { path: '/alerts', title: 'Alerts', Page: lazy(() => import('./pages/alerts/alerts-page.tsx')) },
] as const
const RunPage = lazy(() => import('./pages/run/run-page.tsx'))

export function App() {
  const client = useQueryClient()
  const session = useQuery({ queryKey: ['session'], queryFn: () => get<Session>('/api/session') })
  const [asked, setAsked] = useState(false)
  useEffect(() => onSignedOut(() => setAsked(true)), [])
  if (asked) {
    return (
      <SignIn
        onDone={() => {
          setAsked(false)
          void client.invalidateQueries()
        }}
      />
    )
  }
  return (
    <div className="shell">
      <Side session={session.data} />
      <main className="page" id="main">
        <Suspense fallback={null}>
          <Switch>
            {pages.map(({ path, Page }) => (
              <Route key={path} path={path}>
                <Page />
              </Route>
            ))}
            <Route path="/runs/:run">{({ run }) => <RunPage key={run} run={decodeURIComponent(run)} />}</Route>
            <Route>
              <Empty command="stet list">There is no such page.</Empty>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </div>
  )
}

function Side({ session }: { readonly session: Session | undefined }) {
  const [path] = useLocation()
  const line = useLine()
  const theme = useTheme()
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
          </Link>
        ))}
      </nav>
      <div className="foot">
        <span className="line" data-line={line} role="status">
          {{ live: 'live', connecting: 'connecting', cut: 'line cut, trying again', idle: 'not live' }[line]}
        </span>
        <label className="row">
          <span className="visually-hidden">Colours</span>
          <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)} aria-label="Colours">
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
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
      </div>
    </div>
  )
}
