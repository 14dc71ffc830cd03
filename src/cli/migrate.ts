import type { Command } from 'commander'
import { currentMigration } from '../store/postgres/migrate.js'
import { openStore } from './lib/connect.js'
import { type CommonOptions, examples, isJson, withDatabase, withOutput } from './lib/options.js'
import { outJson, say } from './lib/term.js'

export function define(command: Command): void {
  withDatabase(withOutput(command)).action(run)
  examples(command, 'stet migrate -d postgres://localhost/app')
}

async function run(options: CommonOptions): Promise<void> {
  const { store } = await openStore(options)
  try {
    const applied = await store.migrate()
    const migration = await currentMigration(store.db)
    if (isJson(options)) outJson({ applied, migration })
    else if (applied === 0) say(`nothing to do: the schema is at migration ${migration}`)
    else say(`applied ${applied} migration${applied === 1 ? '' : 's'}; the schema is at migration ${migration}`)
  } finally {
    await store.close()
  }
}
