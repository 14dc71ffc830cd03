import type { Command } from 'commander'
import type { Bulk } from '../core/types.js'
import { connect } from './lib/connect.js'
import { follow, lineOf, sayProgress } from './lib/many.js'
import { asCount, asName, type CommonOptions, examples, isJson, subcommandsOf } from './lib/options.js'
import { clean, out, outJson, paint, say, table, when } from './lib/term.js'

export function define(command: Command): void {
  const add = subcommandsOf(command)
  examples(
    add('list', 'bulks, newest first')
      .option('-n, --limit <n>', 'so many (20; at most 200)', asCount)
      .option('--after <cursor>', '`next` of the page before')
      .action(list),
    'stet bulk list',
  )
  examples(
    add('show', 'how a bulk gets on, and what was refused')
      .argument('<bulk>', 'its id', asName)
      .option('--watch', 'stay until it is over')
      .option('--drive', 'and do the work from here, beside the workers')
      .action(show),
    'stet bulk show bulk_0mf0x1k2a --watch',
    'stet bulk show bulk_0mf0x1k2a --drive',
  )
  const changes = {
    cancel: 'end a bulk where it stands; what is done stays done',
    pause: 'keep a bulk from going on',
    resume: 'let a paused bulk go on',
  }
  for (const [name, description] of Object.entries(changes) as [keyof typeof changes, string][]) {
    examples(
      add(name, description)
        .argument('<bulk>', 'its id', asName)
        .action((id: string, options: CommonOptions) => change(id, options, (bulk) => bulk[name]())),
      `stet bulk ${name} bulk_0mf0x1k2a`,
    )
  }
  command.addHelpText(
    'after',
    `
A bulk is one operation on all runs that filters name: stet cancel, terminate, pause, resume, retry, delete and fork
begin one when they are given filters in place of a run. It is written down and goes on whoever dies.`,
  )
  examples(command, 'stet bulk list', 'stet cancel --workflow order --since 2h --yes && stet bulk list')
}

async function list({
  limit = 20,
  after,
  ...options
}: CommonOptions & { limit?: number; after?: string }): Promise<void> {
  await using connection = await connect(options)
  const { bulks, next } = await connection.stet.bulks.list({
    limit: Math.min(limit, 200),
    ...(after === undefined ? {} : { after }),
  })
  if (isJson(options)) {
    outJson({ bulks, ...(next === undefined ? {} : { next }) })
    return
  }
  if (bulks.length === 0) {
    say('no bulks yet')
    return
  }
  const head = ['BULK', 'BEGUN', 'BY', 'HOW IT GETS ON'].map((text) => paint('dim', text))
  out(table([head, ...bulks.map((bulk) => [bulk.id, when(bulk.createdAt), clean(bulk.actor), lineOf(bulk)])]))
  if (next !== undefined) say(`more: --after ${next}`)
}

async function show(id: string, options: CommonOptions & { watch?: true; drive?: true }): Promise<void> {
  await using connection = await connect(options)
  const bulk = await connection.stet.bulks.get(id)
  if (options.watch || options.drive) {
    await follow(bulk, isJson(options), options.drive === true)
    return
  }
  const progress = await bulk.progress()
  if (isJson(options)) outJson(progress)
  else sayProgress(progress)
}

async function change(id: string, options: CommonOptions, body: (bulk: Bulk) => Promise<void>): Promise<void> {
  await using connection = await connect(options)
  const bulk = await connection.stet.bulks.get(id)
  await body(bulk)
  const progress = await bulk.progress()
  if (isJson(options)) outJson(progress)
  else say(lineOf(progress))
}
