import { type Command, Option } from 'commander'
import type { RunGraph } from '../core/types.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { type DatabaseOptions, examples, isJson, type OutputOptions } from './lib/options.js'
import { graphText, readRun } from './lib/run-view.js'
import { clean, out, outJson } from './lib/term.js'

interface Options extends DatabaseOptions, OutputOptions {
  format?: 'text' | 'json' | 'dot' | 'mermaid'
}

export function define(command: Command): void {
  withRun(command)
    .addOption(
      new Option('--format <format>', 'text, json, dot or mermaid').choices(['text', 'json', 'dot', 'mermaid']),
    )
    .action(run)
  examples(command, 'stet graph order-42', 'stet graph order-42 --format dot | dot -Tsvg > order-42.svg')
}

async function run(ref: string, options: Options): Promise<void> {
  await using connection = await connect(options)
  const { graph } = await readRun(connection.store, ref)
  const format = options.format ?? (isJson(options) ? 'json' : 'text')
  if (format === 'json') outJson(graph)
  else if (format === 'dot') out(dot(graph))
  else if (format === 'mermaid') out(mermaid(graph))
  else out(graphText(graph))
}

const colours: Record<string, string> = {
  completed: '#2e7d32',
  failed: '#c62828',
  running: '#1565c0',
  pending: '#757575',
  skipped: '#9e9e9e',
}

/** Graphviz. */
function dot({ nodes, edges }: RunGraph): string {
  const quote = (text: string) => `"${clean(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
  return [
    'digraph run {',
    '  rankdir=LR; node [shape=box, style=rounded, fontname="sans-serif"]',
    ...nodes.map(
      ({ key, status }) =>
        `  ${quote(key)} [color="${colours[status]}", tooltip=${quote(status)}${status === 'skipped' ? ', style="rounded,dashed"' : ''}]`,
    ),
    ...edges.map(({ from, to }) => `  ${quote(from)} -> ${quote(to)}`),
    '}',
  ].join('\n')
}

/** Mermaid has no quoting of its own: what is not plain goes as a character code. */
function mermaid({ nodes, edges }: RunGraph): string {
  const id = new Map(nodes.map(({ key }, i) => [key, `n${i}`]))
  const label = (text: string) => clean(text).replace(/[^\p{L}\p{N} _.,:/()-]/gu, (c) => `#${c.codePointAt(0)};`)
  const statuses = [...new Set(nodes.map(({ status }) => status))]
  return [
    'flowchart LR',
    ...nodes.map(({ key, status }) => `  ${id.get(key)}["${label(key)}"]:::${status}`),
    ...edges.map(({ from, to }) => `  ${id.get(from)} --> ${id.get(to)}`),
    ...statuses.map((status) => `  classDef ${status} stroke:${colours[status]}`),
  ].join('\n')
}
