#!/usr/bin/env node
import { main } from './lib/program.js'

const code = await main(process.argv.slice(2))
// Files of the user's may hold the process open with timers and connections of their own.
process.stdout.write('', () => process.exit(code))
