#!/usr/bin/env node
const args = process.argv.slice(2)
if (args[0] === 'replay') (await import('./lib/replay/begin.js')).beginReplay(args)
const { main } = await import('./lib/program.js')
const code = await main(args)
// Files of the user's may hold the process open with timers and connections of their own.
process.stdout.write('', () => process.exit(code))

export {}
