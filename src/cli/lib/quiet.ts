/** Workflows may print; while they are replayed, what they print is not the command's data. */

/** Calls `body`; what is written to stdout meanwhile is dropped. */
export async function quietly<T>(body: () => Promise<T>): Promise<T> {
  const { write } = process.stdout
  process.stdout.write = ((...args: unknown[]) => {
    const done = args.at(-1)
    if (typeof done === 'function') done()
    return true
  }) as typeof write
  try {
    return await body()
  } finally {
    process.stdout.write = write
  }
}
