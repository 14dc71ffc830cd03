/**
 * The names of one application in a database that it may share with others.
 *
 * N1. One application is one schema name: what users see is in schema `<name>`, what is stet's own in `<name>_store`.
 *     Nothing outside these two is read or written.
 * N2. All SQL is written for the name `stet`, so that it reads as it runs by default. Whoever hands a statement to the
 *     driver puts the application's names in; statements of users are handed over as they are.
 * N3. What is known to the whole database by a text is told apart by that text: a literal in SQL that begins with `stet`
 *     (the channels of NOTIFY, what advisory locks are made from) has the application's name in its place.
 */
import { defaultSchema } from '../../core/schema-name.js'
import type { Tx } from '../../core/types.js'

/** A literal that begins with the name (N3); else both schemas, where they qualify something or are made. */
const names = /'stet(?!_store\b)(?=['_ .])|\bstet_store\b|\bstet(?=\.[a-z_])|(?<=CREATE SCHEMA IF NOT EXISTS )stet\b/g

/** What puts the names of an application into the text of statements (N2). Each text is looked through once. */
export function namesOf(schema: string): (text: string) => string {
  if (schema === defaultSchema) return (text) => text
  const known = new Map<string, string>()
  return (text) => {
    let named = known.get(text)
    if (named === undefined) {
      // Quoted, but for literals: a name may be a word that SQL keeps for itself.
      named = text.replace(names, (found) =>
        found.startsWith("'") ? `'${schema}` : `"${found.replace(defaultSchema, schema)}"`,
      )
      known.set(text, named)
    }
    return named
  }
}

/** A caller's connection, as stet's own statements see it. */
export function namedTx(tx: Tx, named: (text: string) => string): Tx {
  // What is no connection is refused by whoever uses it.
  if (typeof tx?.query !== 'function') return tx
  return { query: (text, values) => tx.query(typeof text === 'string' ? named(text) : text, values) }
}
