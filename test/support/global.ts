/**
 * Before all tests: a server of their own, without waiting for the disk, and a migrated template database; the program
 * of worker processes as JavaScript.
 */
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformWithOxc } from 'vite'
import type { TestProject } from 'vitest/node'
import { startEmbedded, stopEmbedded } from '../../src/store/embedded/index.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { databaseUrl, onServer, templateName } from './server.js'

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.STET_TEST_DATABASE_URL
  let stop = async () => {}
  let serverUrl = given
  if (serverUrl === undefined) {
    const folder = mkdtempSync(join(roomy() ?? tmpdir(), 'stet-test-'))
    // As root the server runs as another user, who must be able to get through.
    chmodSync(folder, 0o755)
    const options = {
      projectDir: folder,
      dataDir: join(folder, 'pg'),
      pgBin: process.env.STET_PG_BIN,
      fast: true,
      settings: { max_connections: '300' },
    }
    const server = await startEmbedded(options)
    serverUrl = server.url
    let over = false
    // Interrupted, vitest tears nothing down; what is in memory would stay there.
    process.once('exit', () => {
      if (over) return
      process.kill(server.pid, 'SIGQUIT')
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    })
    stop = async () => {
      over = true
      await stopEmbedded(options, 'immediate')
      rmSync(folder, { recursive: true, force: true })
    }
  }
  await onServer(serverUrl, `DROP DATABASE IF EXISTS ${templateName} WITH (FORCE)`)
  await onServer(serverUrl, `CREATE DATABASE ${templateName}`)
  const store = createPostgresStore({ url: databaseUrl(serverUrl, templateName) })
  await store.migrate()
  await store.close()
  project.provide('serverUrl', serverUrl)
  const programs = await buildPrograms()
  project.provide('workerProgram', join(programs, 'worker.js'))
  return async () => {
    rmSync(programs, { recursive: true, force: true })
    await stop()
  }
}

/**
 * Chaos takes hundreds of processes. Given JavaScript, each begins in a third of the time that it takes to load a
 * compiler first. In a folder of the checkout, from which `stet` is the package itself.
 */
async function buildPrograms(): Promise<string> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  mkdirSync(join(root, 'test-results'), { recursive: true })
  const folder = mkdtempSync(join(root, 'test-results/programs-'))
  for (const name of ['worker', 'workflows']) {
    const source = join(root, `test/chaos/${name}.ts`)
    const { code } = await transformWithOxc(readFileSync(source, 'utf8'), source, { target: 'node20' })
    writeFileSync(join(folder, `${name}.js`), code)
  }
  return folder
}

/**
 * Memory that looks like a disk, where there is plenty. The suite makes and drops hundreds of databases, some four
 * hundred files each, and a disk takes up to a second for one: new files soon after many were deleted are slow.
 */
function roomy(): string | undefined {
  const folder = '/dev/shm'
  const needed = 4 * 2 ** 30
  try {
    accessSync(folder, constants.W_OK)
    const { bavail, bsize } = statfsSync(folder)
    return Math.min(bavail * bsize, freemem()) >= needed ? folder : undefined
  } catch {
    return undefined
  }
}
