/**
 * Joins the modules of `src` into few files: `node scripts/bundle.mjs <folder>`. There are some 400, and to load one
 * takes half a millisecond. What is loaded by need stays apart; packages are not joined in, they are dependencies.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const [folder] = process.argv.slice(2)
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const src = fileURLToPath(new URL('../src/', import.meta.url))

const surface = ['index.ts', 'testing/index.ts', 'server/index.ts', 'cli/main.ts']
const processes = readdirSync(join(src, 'cli/programs')).map((file) => `cli/programs/${file}`)
const forScripts = ['settings.ts', 'store/embedded/index.ts']

/** Modules, with all that they import. */
const reach = {
  // `stet replay` begins another process before it loads anything else.
  begin: ['cli/lib/replay/begin.ts'],
  // What a command needs that has no engine: one that works on a file, or only asks another process.
  command: ['cli/lib/program.ts', 'cli/lib/options.ts', 'cli/lib/history.ts', 'cli/lib/replay/screen.ts'],
  // What the file of a workflow imports.
  engine: ['index.ts'],
  library: ['index.ts', 'testing/index.ts', 'server/index.ts'],
}

/** What is together in one file: what all of these reach, but for what is in a file above. */
const together = {
  begin: ['begin'],
  // Apart, so that the library loads no command line, and the command line no engine.
  shared: ['command', 'library'],
  command: ['command'],
  engine: ['engine'],
}

await bundle([...surface, ...processes, ...forScripts], together)
// A thread has its modules for itself, and needs few.
await bundle(['store/postgres/lease-thread.ts'], {})

async function bundle(files, groups) {
  const reached = {}
  const finder = {
    name: 'what is reached',
    buildEnd() {
      const add = (id, into) => {
        const info = this.getModuleInfo(id)
        if (into.has(id) || info === null || info.isExternal) return
        into.add(id)
        for (const each of info.importedIds) add(each, into)
      }
      for (const [name, modules] of Object.entries(reach)) {
        reached[name] = new Set()
        for (const each of modules) add(join(src, each), reached[name])
      }
    },
  }
  const bundled = await rolldown({
    input: Object.fromEntries(files.map((file) => [file.replace(/\.ts$/, ''), join(src, file)])),
    platform: 'node',
    plugins: [finder],
    external: isPackage,
    resolve: { extensionAlias: { '.js': ['.ts'] } },
    transform: { target: 'node20.19', define: { joinedVersion: JSON.stringify(version) } },
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
      groups: Object.entries(groups).map(([name, by], i) => ({
        name,
        test: (id) => by.every((each) => reached[each].has(id)),
        priority: Object.keys(groups).length - i,
      })),
    },
  })
}

/** As written in an import: a path that was found may begin with a drive. What the compiler brings in is joined in. */
function isPackage(id, _importer, isResolved) {
  return !isResolved && /^(?!@oxc-project\/)[^./\0]/.test(id) && !isAbsolute(id)
}
