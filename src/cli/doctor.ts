import type { Command } from 'commander'
import { formatMs } from '../core/duration.js'
import { readSettings } from '../settings.js'
import { embeddedPaths } from '../store/embedded/index.js'
import {
  latestMigration,
  liveWorkers,
  type ServerFacts,
  serverFacts,
  stuckRuns,
} from '../store/postgres/diagnostics.js'
import { currentMigration } from '../store/postgres/migrate.js'
import { allOrphans } from '../store/postgres/retention.js'
import type { PostgresStore } from '../store/postgres/store.js'
import { openStore } from './lib/connect.js'
import { exit, exitCodeOf } from './lib/errors.js'
import {
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withFiles,
  withOutput,
} from './lib/options.js'
import { clean, cleanLines, out, outJson, paint } from './lib/term.js'
import { listNames, loadWorkflows, type WorkflowFiles } from './lib/workflow-files.js'

interface Options extends DatabaseOptions, OutputOptions {
  workflows?: string[]
}

interface Finding {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do about it. */
  readonly fix?: string
}

/** Clocks that are further apart than this make logs hard to read. Runs go by the database's clock alone. */
const skewMs = 2_000

export function define(command: Command): void {
  withDatabase(withOutput(withFiles(command))).action(run)
  command.addHelpText('after', '\nExit code: 0 unless a check fails; 5 when it is the database that cannot be used.')
  examples(command, 'stet doctor', 'stet doctor --json')
}

async function run(options: Options): Promise<void> {
  const findings: Finding[] = []
  const json = isJson(options)
  const add = (...more: Finding[]) => {
    findings.push(...more)
    if (!json) for (const finding of more) out(lineOf(finding))
  }
  add(checkNode())
  add(...(await checkFiles(options.workflows)))
  let code: number = exit.failed
  try {
    const { store, database } = await openStore(options)
    try {
      add({ check: 'database', status: 'ok', message: `reachable: ${database.description}` })
      add(...(await checkDatabase(store, database.embedded)))
    } finally {
      await store.close()
    }
  } catch (error) {
    code = exitCodeOf(error)
    add({
      check: 'database',
      status: 'fail',
      message: (error as Error).message,
      fix: 'Start it, or mend the URL; without one, `stet db start` starts the embedded Postgres.',
    })
  }
  const ok = findings.every(({ status }) => status !== 'fail')
  if (json) outJson({ ok, findings })
  if (!ok) process.exitCode = code
}

function lineOf({ check, status, message, fix }: Finding): string {
  const mark = { ok: paint('green', 'ok  '), warn: paint('yellow', 'warn'), fail: paint('red', 'fail') }[status]
  const todo = fix === undefined ? '' : `\n       ${paint('dim', '→')} ${cleanLines(fix)}`
  return `${mark}  ${check.padEnd(10)} ${cleanLines(message).replaceAll('\n', '\n                 ')}${todo}`
}

function checkNode(): Finding {
  const version = process.versions.node
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const enough = major > 20 || (major === 20 && minor >= 19)
  return {
    check: 'node',
    status: enough ? 'ok' : 'fail',
    message: `Node ${version}`,
    ...(enough ? {} : { fix: 'stet needs Node 20.19 or later.' }),
  }
}

async function checkFiles(patterns: string[] | undefined): Promise<Finding[]> {
  let loaded: WorkflowFiles
  try {
    loaded = await loadWorkflows(patterns)
  } catch (error) {
    const nothing = exitCodeOf(error) === exit.usage && patterns === undefined
    const { message } = error as Error
    return [{ check: 'workflows', status: nothing ? 'warn' : 'fail', message }]
  }
  return [{ check: 'workflows', status: 'ok', message: `${listNames(loaded.found)} in ${files(loaded)}` }]
}

function files({ found }: WorkflowFiles): string {
  return [...new Set(found.map(({ file }) => file))].map(clean).join(', ')
}

async function checkDatabase(store: PostgresStore, embedded: boolean): Promise<Finding[]> {
  const before = Date.now()
  const facts = await serverFacts(store.db)
  const ours = (before + Date.now()) / 2
  const findings = [checkVersion(facts), checkDurability(facts), checkClock(facts.now - ours)]
  if (embedded) {
    const { dataDir, cacheDir } = embeddedPaths(readSettings().embedded)
    findings.push({ check: 'embedded', status: 'ok', message: `binaries in ${cacheDir}, data in ${dataDir}` })
  }
  const { schema } = store.db
  const migration = await currentMigration(store.db)
  if (migration !== latestMigration) {
    findings.push({
      check: 'schema',
      status: 'warn',
      message: `${schema}: at migration ${migration} of ${latestMigration}`,
      fix: 'The first process that connects migrates it. To do it now: stet migrate',
    })
    if (migration === 0) return findings
  } else findings.push({ check: 'schema', status: 'ok', message: `${schema}: at migration ${migration}` })
  const workers = await liveWorkers(store.db)
  const shown = workers.map(({ host, pid, workflows }) => {
    return `${clean(host)}:${pid} (${workflows.map(({ name, version }) => `${clean(name)}@${version}`).join(', ')})`
  })
  findings.push({
    check: 'workers',
    status: 'ok',
    message: workers.length === 0 ? 'none is running' : `${workers.length} running: ${shown.slice(0, 10).join(', ')}`,
  })
  // A database of an older release may lack a table that is looked into.
  const orphans = migration === latestMigration ? [await checkOrphans(store)] : []
  return [...findings, ...(await checkRuns(store)), ...orphans]
}

function checkVersion({ number, version, inRecovery }: ServerFacts): Finding {
  if (number < 150_000) {
    return {
      check: 'postgres',
      status: 'fail',
      message: `Postgres ${version}`,
      fix: 'stet needs Postgres 15 or later.',
    }
  }
  if (inRecovery) {
    return {
      check: 'postgres',
      status: 'fail',
      message: `Postgres ${version}, a standby that cannot be written to`,
      fix: 'Point the URL at the primary.',
    }
  }
  return { check: 'postgres', status: 'ok', message: `Postgres ${version}` }
}

function checkDurability({ fsync, fullPageWrites, synchronousCommit }: ServerFacts): Finding {
  const settings = `fsync ${fsync ? 'on' : 'off'}, full_page_writes ${fullPageWrites ? 'on' : 'off'}, synchronous_commit ${synchronousCommit}`
  const durable = fsync && fullPageWrites && synchronousCommit !== 'off'
  return {
    check: 'durability',
    status: durable ? 'ok' : 'warn',
    message: settings,
    ...(durable
      ? {}
      : { fix: 'A crash of the server may lose what was acknowledged. Turn them on, except for tests.' }),
  }
}

function checkClock(skew: number): Finding {
  const much = Math.abs(skew) > skewMs
  return {
    check: 'clock',
    status: much ? 'warn' : 'ok',
    message: `the database's clock is ${formatMs(Math.abs(skew))} ${skew < 0 ? 'behind' : 'ahead of'} this machine's`,
    ...(much ? { fix: 'Runs go by the database alone, so nothing fails; logs are hard to compare. Use NTP.' } : {}),
  }
}

/** Rows of runs that are not there: a deletion that did half of its work, or somebody else's. */
async function checkOrphans(store: PostgresStore): Promise<Finding> {
  const { orphans, looked } = await allOrphans(store.db)
  const all = looked === 'all' ? '' : ' among those that there was time to look at'
  if (orphans.length === 0)
    return { check: 'orphans', status: 'ok', message: `no row is left of a run that is not there${all}` }
  const tables = [...new Set(orphans.map(({ table }) => table))]
  return {
    check: 'orphans',
    status: 'warn',
    message: `${orphans.length} runs that are not there have left rows in ${tables.join(', ')}, among them ${clean(orphans[0]!.runId)}`,
    fix: 'stet deletes a run with all that is kept of it in one transaction: somebody else has deleted these. No run needs the rows.',
  }
}

async function checkRuns(store: PostgresStore): Promise<Finding[]> {
  const stuck = await stuckRuns(store.db)
  if (stuck.length === 0) return [{ check: 'runs', status: 'ok', message: 'none is stuck' }]
  return stuck.map(({ status, workflow, version, queue, count, example, since }) => {
    const runs = `${count} run${count === 1 ? '' : 's'} of ${clean(workflow)}${version === 0 ? '' : `@${version}`}`
    return status === 'blocked'
      ? {
          check: 'runs',
          status: 'warn',
          message: `${runs} blocked, among them ${clean(example)}`,
          fix: `See why: stet show ${clean(example)}. With other code a worker takes it up by itself; else: stet resume`,
        }
      : {
          check: 'runs',
          status: 'warn',
          message: `${runs} ready for ${formatMs(Math.max(0, Date.now() - since))} in queue ${clean(queue)}, and no live worker has the code`,
          fix: `Start a worker with ${clean(workflow)}${version === 0 ? '' : ` version ${version}`}: stet worker -q ${clean(queue)}`,
        }
  })
}
