/**
 * A real Chromium for tests of the pages: one browser a test file, a context of its own for each page that is opened.
 *
 * B1. Whatever a page says as an error fails its test: console, page errors, requests against the content security
 *     policy. What a test provokes it names in `expected`.
 * B2. Pages are closed before the servers that the test has opened before them, so that no page sees one go.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, onTestFinished } from 'vitest'
import type { Stet } from '../../src/index.js'
import { type ServeOptions, serveDashboard } from '../../src/server/index.js'

export type { Locator, Page } from 'playwright-core'

export interface OpenOptions {
  /** Default: 1400 × 900. */
  readonly size?: readonly [width: number, height: number]
  /** Default: light. */
  readonly colours?: 'light' | 'dark'
  /** Errors that the test provokes: those that one of these matches are let pass. */
  readonly expected?: readonly RegExp[]
  readonly context?: BrowserContextOptions
}

export interface TestBrowser {
  /** A page in a context of its own, at this address. Closed with the test, which fails if it said an error (B1). */
  open(url: string, options?: OpenOptions): Promise<Page>
  /** What a page looks like, kept as `test-results/<name>.png`. `whole`: also what is below its end. */
  shot(page: Page, name: string, options?: { readonly whole?: boolean }): Promise<string>
}

const results = fileURLToPath(new URL('../../test-results/', import.meta.url))

/**
 * To be called once at the top of a test file.
 * @example
 * const browser = await testBrowser()
 * test('…', async () => {
 *   const page = await browser.open(`${await served(stet)}/runs`)
 *   await page.getByText('order-42').waitFor()
 * })
 */
export async function testBrowser(): Promise<TestBrowser> {
  const { browser, close } = await launch()
  afterAll(close)
  return {
    open: (url, options = {}) => open(browser, url, options),
    shot: async (page, name, { whole = false } = {}) => {
      await mkdir(results, { recursive: true })
      const path = join(results, `${name}.png`)
      await page.screenshot({ path, fullPage: whole, animations: 'disabled' })
      return path
    },
  }
}

/** The address of a dashboard on a free port, until the test is over. */
export async function served(stet: Stet, options: ServeOptions = {}): Promise<string> {
  const { url, close } = await serveDashboard(stet, { port: 0, ...options })
  onTestFinished(close)
  return url
}

// A text: these files know no DOM.
const tellViolations = `document.addEventListener('securitypolicyviolation', (event) =>
  console.error('content security policy:', event.effectiveDirective, event.blockedURI, event.sample))`

async function open(browser: Browser, url: string, options: OpenOptions): Promise<Page> {
  const { size = [1400, 900], colours = 'light', expected = [], context: more = {} } = options
  const context = await browser.newContext({
    viewport: { width: size[0], height: size[1] },
    colorScheme: colours,
    timezoneId: 'UTC',
    locale: 'en-GB',
    ...more,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const errors: string[] = []
  const say = (kind: string, text: string) => {
    if (!expected.some((each) => each.test(text))) errors.push(`${kind}: ${text}`)
  }
  page.on('console', (message) => {
    if (message.type() === 'error') say('console', `${message.text()} (${message.location().url})`)
  })
  page.on('pageerror', (error) => say('page error', error.stack ?? error.message))
  page.on('crash', () => say('page', 'it crashed'))
  // A dialog of the browser itself: no page opens one, so a script has run that should not.
  page.on('dialog', (dialog) => {
    say('dialog', dialog.message())
    void dialog.dismiss()
  })
  await page.addInitScript(tellViolations)
  onTestFinished(async () => {
    await context.close()
    if (errors.length > 0) throw new Error(`the page said errors:\n${errors.slice(0, 10).join('\n')}`)
  })
  await page.goto(url)
  return page
}

interface Launched {
  readonly browser: Browser
  close(): Promise<void>
}

async function launch(): Promise<Launched> {
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const installed = installedBrowser()
  if (installed !== null) {
    const browser = await chromium.launch({ executablePath: installed, args })
    return { browser, close: () => browser.close() }
  }
  const folder = await mkdtemp(join(tmpdir(), 'stet-chromium-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    const executablePath = await unpacked(folder)
    const env = { ...process.env, FONTCONFIG_PATH: process.env.FONTCONFIG_PATH ?? fontsIn(folder) } as Record<
      string,
      string
    >
    const browser = await chromium
      .launch({ executablePath, args, env })
      // A machine without the libraries that a browser needs: the package has those, too.
      .catch(() =>
        chromium.launch({ executablePath, args, env: { ...env, LD_LIBRARY_PATH: join(folder, 'al2023/lib') } }),
      )
    const close = async () => {
      await browser.close()
      await remove()
    }
    return { browser, close }
  } catch (error) {
    await remove()
    throw error
  }
}

function installedBrowser(): string | null {
  if (process.env.CHROMIUM !== undefined) return process.env.CHROMIUM
  const folders = (process.env.PATH ?? '').split(delimiter)
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path)) ?? null
}

/** The fonts of the package, where the machine has none of its own. */
function fontsIn(folder: string): string {
  return existsSync('/etc/fonts') ? '/etc/fonts' : join(folder, 'fonts')
}

/** The browser from npm, unpacked into a folder of one's own: its package takes whatever it finds in the common one. */
async function unpacked(folder: string): Promise<string> {
  const { TMPDIR, AWS_LAMBDA_JS_RUNTIME, LD_LIBRARY_PATH, FONTCONFIG_PATH } = process.env
  const before = { TMPDIR, AWS_LAMBDA_JS_RUNTIME, LD_LIBRARY_PATH, FONTCONFIG_PATH }
  // The second makes it unpack the libraries, too.
  Object.assign(process.env, { TMPDIR: folder, AWS_LAMBDA_JS_RUNTIME: 'nodejs20.x' })
  try {
    const { default: packed } = await import('@sparticuz/chromium')
    return await packed.executablePath()
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
