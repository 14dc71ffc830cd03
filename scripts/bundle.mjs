/**
 * Joins the modules of `src` into few files: `node scripts/bundle.mjs <folder>`. There are some 400, and to load one
 * takes half a millisecond. What is loaded by need stays apart; packages are not joined in, they are dependencies.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const [folder] = process.argv.slice(2)
const src = fileURLToPath(new URL('../src/', import.meta.url))

const surface = ['index.ts', 'testing/index.ts', 'server/index.ts', 'cli/main.ts']
const processes = readdirSync(join(src, 'cli/programs')).map((file) => `cli/programs/${file}`)
const forScripts = ['settings.ts', 'store/embedded/index.ts']

/** Modules with all that they import, together in one file; what is in several is in the first. */
const together = {
  // `stet replay` begins another process before it loads anything else.
  begin: ['cli/lib/replay/begin.ts'],
  // What a command needs that has no engine: one that works on a file, or only asks another process.
  command: ['cli/lib/program.ts', 'cli/lib/options.ts', 'cli/lib/history.ts', 'cli/lib/replay/screen.ts'],
  // What the file of a workflow imports.
  engine: ['index.ts'],
}

await bundle([...surface, ...processes, ...forScripts], together)
// A thread has its modules for itself, and needs few.
await bundle(['store/postgres/lease-thread.ts'], {})

async function bundle(files, groups) {
  const members = new Map(Object.keys(groups).map((name) => [name, new Set()]))
  const found = {
    name: 'members of groups',
    buildEnd() {
      const add = (id, into) => {
        const info = this.getModuleInfo(id)
        if (into.has(id) || info === null || info.isExternal) return
        into.add(id)
        for (const each of info.importedIds) add(each, into)
      }
      for (const [name, modules] of Object.entries(groups)) {
        for (const each of modules) add(join(src, each), members.get(name))
      }
    },
  }
  const bundled = await rolldown({
    input: Object.fromEntries(files.map((file) => [file.replace(/\.ts$/, ''), join(src, file)])),
    platform: 'node',
    plugins: [found],
    // But for what the compiler itself brings in.
    external: /^(?!@oxc-project\/)[^./\0]/,
    resolve: { extensionAlias: { '.js': ['.ts'] } },
    transform: { target: 'node20.19' },
    checks: { ineffectiveDynamicImport: false },
  })
  await bundled.write({
    dir: folder,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'parts/[name]-[hash].js',
    sourcemap: true,
    sourcemapExcludeSources: true,
    codeSplitting: {
      groups: [...members].map(([name, ids], i) => ({ name, test: (id) => ids.has(id), priority: members.size - i })),
    },
  })
}
