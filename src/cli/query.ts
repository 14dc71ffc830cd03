import type { Command } from 'commander'
import type { Duration } from '../core/types.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { asDuration, asName, type CommonOptions, examples, readJson } from './lib/options.js'
import { outJson, plain } from './lib/term.js'

export function define(command: Command): void {
  withRun(command)
    .argument('<name>', 'name of the query', asName)
    .argument('[argument]', 'JSON, @file, or - for standard input')
    .option('--timeout <duration>', 'how long to wait for the answer (default: 10s)', asDuration)
    .action(run)
  examples(command, 'stet query order-42 progress', `stet query order-42 price '{"currency":"EUR"}' --timeout 30s`)
}

/** The answer alone is printed, as JSON in both formats. */
async function run(
  ref: string,
  name: string,
  argument: string | undefined,
  options: CommonOptions & { timeout?: Duration },
): Promise<void> {
  const value = readJson(argument, 'argument')
  const { timeout } = options
  await using connection = await connect(options)
  const answer = await connection.stet.run(ref).query(name, value, timeout === undefined ? {} : { timeout })
  outJson(plain(answer))
}
