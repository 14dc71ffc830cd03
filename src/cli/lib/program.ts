/** The program: finds the command, loads its file alone, runs it, and makes an exit code of how it ended. */
import { Command, CommanderError } from 'commander'
import { packageVersion } from '../../core/package.js'
import { exit, exitCodeOf, sayError } from './errors.js'

interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ define(command: Command): void }>
}

const commands: Record<string, Entry> = {
  init: { summary: 'write a first workflow, its test and the configuration', load: () => import('../init.js') },
  dev: { summary: 'database, worker and reload on edit, in one command', load: () => import('../dev.js') },
  worker: { summary: 'run workflows', load: () => import('../worker.js') },
  start: { summary: 'start a run', load: () => import('../start.js') },
  list: { summary: 'list runs', load: () => import('../list.js') },
  show: { summary: 'show a run: its steps, its graph, its history', load: () => import('../show.js') },
  signal: { summary: 'send a signal to a run', load: () => import('../signal.js') },
  query: { summary: 'ask a run something, and print its answer', load: () => import('../query.js') },
  update: { summary: 'send a request to a run, and print its answer', load: () => import('../update.js') },
  cancel: { summary: 'ask a run to end, its cleanup included', load: () => import('../cancel.js') },
  terminate: { summary: 'end a run at once, without its cleanup', load: () => import('../terminate.js') },
  pause: { summary: 'keep a run from going on', load: () => import('../pause.js') },
  resume: { summary: 'let a paused or blocked run go on', load: () => import('../resume.js') },
  retry: { summary: 'try a failed run again from its last failure', load: () => import('../retry.js') },
  fork: { summary: 'start a run that shares the history of another up to a step', load: () => import('../fork.js') },
  delete: { summary: 'delete a closed run with all that is kept of it', load: () => import('../delete.js') },
  bulk: { summary: 'operations on all runs that filters name, and how they get on', load: () => import('../bulk.js') },
  retention: { summary: 'how long closed runs are kept', load: () => import('../retention.js') },
  move: { summary: 'give a run to another version of its code', load: () => import('../move.js') },
  versions: {
    summary: 'which versions have open runs, and whether a worker has them',
    load: () => import('../versions.js'),
  },
  limit: { summary: 'how many runs at once, or in a period: show and change', load: () => import('../limit.js') },
  queue: { summary: 'queues: what is in them; pause and resume', load: () => import('../queue.js') },
  stats: { summary: 'how long steps and runs took, and how often they failed', load: () => import('../stats.js') },
  alerts: {
    summary: 'what fires, rules, silences, and when rules would have fired',
    load: () => import('../alerts.js'),
  },
  schedule: { summary: 'runs that are started at certain times', load: () => import('../schedule.js') },
  check: {
    summary: 'replay all open runs against the code at hand, before a deploy',
    load: () => import('../check.js'),
  },
  export: { summary: 'write the history of a run as JSON', load: () => import('../export.js') },
  replay: { summary: 'execute a recorded history again, without side effects', load: () => import('../replay.js') },
  why: { summary: 'say in one sentence why a run is where it is', load: () => import('../why.js') },
  diff: { summary: 'what differs between two runs, or two versions of the code', load: () => import('../diff.js') },
  graph: { summary: 'the graph of a run as text, JSON, dot or mermaid', load: () => import('../graph.js') },
  dashboard: { summary: 'serve the HTTP API and its live feed', load: () => import('../dashboard.js') },
  migrate: { summary: "bring the database to this release's schema", load: () => import('../migrate.js') },
  db: { summary: 'the embedded Postgres: url, start, stop, reset, path, status', load: () => import('../db.js') },
  doctor: { summary: 'check everything that stet needs, and find stuck runs', load: () => import('../doctor.js') },
}

const exitCodes = `
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 no such run (schedule), 4 the code does not fit the history, 5 no database.
\`stet <command> --help\` has the options of a command and examples.`

/** Runs a command line and returns its exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  // The reader has gone (`stet list | head`): there is nobody left to talk to.
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? exit.ok : exit.failed),
  )
  const args =
    argv[0] === 'help' && argv[1] !== undefined ? [argv[1], '--help'] : argv.length === 0 ? ['--help'] : [...argv]
  try {
    const program = await createProgram(args[0]!)
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? exit.ok)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.ok : exit.usage
    sayError(error, args.includes('--json') || /(^| )(-o ?|--output[ =])json( |$)/.test(args.join(' ')))
    return exitCodeOf(error)
  }
}

async function createProgram(name: string): Promise<Command> {
  const program = new Command('stet')
    .description('Durable execution for TypeScript on Postgres.')
    .version(packageVersion, '-V, --version')
    .exitOverride()
    // `--version` behind a command is the command's.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for the options and an example)')
    .helpCommand(false)
    .addHelpText('after', exitCodes)
  for (const [each, { summary, load }] of Object.entries(commands)) {
    const command = program.command(each).description(summary)
    // Only what is asked for is loaded: starting up is most of what a short command costs.
    if (each === name) (await load()).define(command)
  }
  return program
}
