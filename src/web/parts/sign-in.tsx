import { useState } from 'react'
import { post } from '../lib/api.ts'
import { Problem } from './basics.tsx'

/** Asks for a token, and gives it for a cookie that no script can read. */
export function SignIn({ onDone }: { readonly onDone: () => void }) {
  const [token, setToken] = useState('')
  const [error, setError] = useState<unknown>(null)
  return (
    <main className="page">
      <form
        className="panel stack sign-in"
        onSubmit={async (event) => {
          event.preventDefault()
          try {
            await post('/api/session', { token })
            onDone()
          } catch (failed) {
            setError(failed)
          }
        }}
      >
        <h1>stet</h1>
        <p className="muted">
          This dashboard needs a token: one of those in STET_DASHBOARD_TOKEN where it was started.
        </p>
        <label className="field">
          Token
          <input
            type="password"
            autoComplete="current-password"
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
        </label>
        {error !== null && <Problem error={error} />}
        <div>
          <button type="submit" className="primary" disabled={token === ''}>
            Sign in
          </button>
        </div>
      </form>
    </main>
  )
}
