/** Before all tests: a server of their own, without waiting for the disk, and a migrated template database. */
import { accessSync, chmodSync, constants, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
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
    serverUrl = (await startEmbedded(options)).url
    stop = async () => {
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
  return stop
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
