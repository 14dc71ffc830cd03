/** The one place that reads the environment. Order: an explicit option, then STET_…, then what is customary. */
import { findProjectDir } from './store/embedded/layout.js'

export interface Settings {
  /** A database URL and where it was found; null: use the embedded Postgres. */
  readonly database: { readonly url: string; readonly from: string } | null
  /** The schema name of the application; undefined: `stet`, or what the config says. */
  readonly schema: string | undefined
  readonly production: boolean
  readonly poolSize: number | undefined
  /** Tokens of the dashboard, with commas between them. */
  readonly dashboardToken: string | undefined
  readonly embedded: {
    readonly projectDir: string
    readonly pgBin: string | undefined
    readonly dataDir: string | undefined
    readonly cacheDir: string | undefined
  }
}

export function readSettings(explicitUrl?: string | undefined): Settings {
  const { env } = process
  return {
    database: findUrl(explicitUrl),
    schema: env.STET_SCHEMA || undefined,
    production: env.NODE_ENV === 'production',
    poolSize: env.STET_POOL_SIZE === undefined ? undefined : Number(env.STET_POOL_SIZE),
    dashboardToken: env.STET_DASHBOARD_TOKEN || undefined,
    embedded: {
      projectDir: findProjectDir(process.cwd()),
      pgBin: env.STET_PG_BIN,
      dataDir: env.STET_DATA_DIR,
      cacheDir: env.STET_CACHE_DIR,
    },
  }
}

/** What a process of ours that no debugger is to stop is given: VS Code attaches itself by NODE_OPTIONS. */
export function environmentApart(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env
  return env
}

/** Loads what loads esbuild: that compiles in a thread of its own, unless it is told not to when it is loaded. */
export function withoutCompilerThread<T>(load: () => T): T {
  const { ESBUILD_WORKER_THREADS: before } = process.env
  process.env.ESBUILD_WORKER_THREADS = '0'
  try {
    return load()
  } finally {
    if (before === undefined) delete process.env.ESBUILD_WORKER_THREADS
    else process.env.ESBUILD_WORKER_THREADS = before
  }
}

function findUrl(explicitUrl: string | undefined): Settings['database'] {
  const { env } = process
  if (explicitUrl) return { url: explicitUrl, from: 'the url option' }
  if (env.STET_DATABASE_URL) return { url: env.STET_DATABASE_URL, from: 'STET_DATABASE_URL' }
  if (env.DATABASE_URL) return { url: env.DATABASE_URL, from: 'DATABASE_URL' }
  if (env.PGHOST || env.PGDATABASE || env.PGSERVICE) return { url: libpqUrl(), from: 'the PG* variables' }
  return null
}

function libpqUrl(): string {
  const { PGUSER, PGPASSWORD, PGHOST = 'localhost', PGPORT = '5432', PGDATABASE } = process.env
  const user = PGUSER === undefined ? '' : encodeURIComponent(PGUSER)
  const password = PGPASSWORD === undefined ? '' : `:${encodeURIComponent(PGPASSWORD)}`
  const login = user + password === '' ? '' : `${user}${password}@`
  const database = encodeURIComponent(PGDATABASE ?? PGUSER ?? 'postgres')
  // A host that is a path is a folder with a socket.
  if (PGHOST.startsWith('/')) return `postgres://${login}/${database}?host=${encodeURIComponent(PGHOST)}&port=${PGPORT}`
  return `postgres://${login}${PGHOST}:${PGPORT}/${database}`
}
