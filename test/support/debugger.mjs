/**
 * A debugger in a process of its own: connects to the inspector at the URL given, sets a breakpoint at a line of a
 * TypeScript file through its source map, notes every stop with its variables, steps over once where asked to, and
 * prints all of it as JSON when the debugged process is done. Needs --experimental-websocket.
 */
import { SourceMap } from 'node:module'

const [url, breakAt = '', steps = '0'] = process.argv.slice(2)
const [file, line] = breakAt.split(':')
const socket = new WebSocket(url)
await new Promise((resolve, reject) => {
  socket.onopen = resolve
  socket.onerror = reject
})

let id = 0
const waiting = new Map()
const send = (method, params = {}) =>
  new Promise((resolve, reject) => {
    waiting.set(++id, ({ result, error }) => (error ? reject(new Error(error.message)) : resolve(result)))
    socket.send(JSON.stringify({ id, method, params }))
  })

const scripts = new Map()
const maps = new Map()
const stops = []
/** Scripts that are looked at. */
const parsing = []
let left = Number(steps)

/** The line of the source that a place in a script came from. */
function sourceOf({ scriptId, lineNumber, columnNumber }) {
  const script = scripts.get(scriptId)
  const entry = maps.get(scriptId)?.findEntry(lineNumber, columnNumber)
  return `${script?.url.split('/').at(-1).replace(/\?.*/, '')}:${(entry?.originalLine ?? lineNumber) + 1}`
}

async function parsed(script) {
  scripts.set(script.scriptId, script)
  const inline = /^data:application\/json[^,]*;base64,(.*)$/.exec(script.sourceMapURL ?? '')
  if (inline !== null) maps.set(script.scriptId, new SourceMap(JSON.parse(Buffer.from(inline[1], 'base64').toString())))
  if (!file || !script.url.includes(file)) return
  // The first place in what was compiled that came from the wanted line.
  const { scriptSource } = await send('Debugger.getScriptSource', { scriptId: script.scriptId })
  const lines = scriptSource.split('\n')
  for (let lineNumber = 0; lineNumber < lines.length; lineNumber++) {
    for (let columnNumber = 0; columnNumber < lines[lineNumber].length; columnNumber++) {
      const entry = maps.get(script.scriptId)?.findEntry(lineNumber, columnNumber)
      if (entry?.originalLine !== Number(line) - 1) continue
      await send('Debugger.setBreakpoint', { location: { scriptId: script.scriptId, lineNumber, columnNumber } })
      return
    }
  }
}

async function paused({ callFrames, hitBreakpoints, reason }) {
  // A script with a source map is about to be executed: editors set their breakpoints now.
  if (reason === 'instrumentation') {
    await Promise.all(parsing)
    await send('Debugger.resume')
    return
  }
  const [top] = callFrames
  const locals = {}
  for (const { type, object } of top.scopeChain) {
    if (type !== 'local' && type !== 'block') continue
    const { result } = await send('Runtime.getProperties', { objectId: object.objectId, ownProperties: true })
    for (const { name, value } of result) locals[name] ??= value?.value ?? value?.description
  }
  stops.push({ at: sourceOf(top.location), fn: top.functionName, locals, byBreakpoint: hitBreakpoints?.length > 0 })
  await send(left-- > 0 ? 'Debugger.stepOver' : 'Debugger.resume')
}

socket.onmessage = ({ data }) => {
  const message = JSON.parse(data)
  if (message.id !== undefined) {
    waiting.get(message.id)(message)
    waiting.delete(message.id)
  } else if (message.method === 'Debugger.scriptParsed') parsing.push(parsed(message.params))
  else if (message.method === 'Debugger.paused') void paused(message.params)
  else if (
    message.method === 'NodeRuntime.waitingForDisconnect' ||
    message.method === 'Runtime.executionContextDestroyed'
  ) {
    console.log(JSON.stringify(stops))
    process.exit(0)
  }
}
socket.onclose = () => {
  console.log(JSON.stringify(stops))
  process.exit(0)
}
await send('NodeRuntime.notifyWhenWaitingForDisconnect', { enabled: true })
await send('Runtime.enable')
await send('Debugger.enable')
if (file) await send('Debugger.setInstrumentationBreakpoint', { instrumentation: 'beforeScriptWithSourceMapExecution' })
await send('Runtime.runIfWaitingForDebugger')
