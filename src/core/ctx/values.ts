/** What takes no number: time, random bits, patches, attributes, logs, facts about the run. */
import { checkAttributes } from '../attributes.js'
import { encode } from '../codec.js'
import type { Execution, LogLevel } from '../execution.js'
import { checkName } from '../ids.js'
import type { Attributes, Ctx, Log } from '../types.js'

type Part = Pick<Ctx, 'now' | 'random' | 'uuid' | 'patched' | 'deprecatePatch' | 'setAttributes' | 'log'>

export function values(execution: Execution): Part {
  return {
    now() {
      return execution.inTurn('ctx.now') ? execution.now() : Number.NaN
    },

    random() {
      return execution.inTurn('ctx.random') ? randomFloat(execution) : Number.NaN
    },

    uuid() {
      return execution.inTurn('ctx.uuid') ? uuid(execution) : ''
    },

    patched(id: string) {
      checkName(id, 'ctx.patched: id')
      return execution.inTurn(`ctx.patched("${id}")`) && execution.patched(id)
    },

    deprecatePatch(id: string) {
      checkName(id, 'ctx.deprecatePatch: id')
      execution.inTurn(`ctx.deprecatePatch("${id}")`)
    },

    setAttributes(attributes: Attributes) {
      if (!execution.inTurn('ctx.setAttributes')) return
      const payload = encode(checkAttributes(attributes, 'ctx.setAttributes'), 'the attributes')
      execution.record({ type: 'AttributesSet', name: null, payload })
    },

    log: createLog((level, message, fields) => {
      if (execution.inTurn('ctx.log')) execution.log(level, message, fields)
    }),
  }
}

/** Histories longer than this still work; a run that starts anew is cheaper to resume. */
export const continueAsNewAfter = 20_000

export function aboutRun(execution: Execution): Ctx['run'] {
  const { identity } = execution
  const { scheduledFor, parent } = execution.begun
  return {
    ...identity,
    startedAt: new Date(execution.startedAt),
    ...(scheduledFor === undefined ? {} : { scheduledFor: new Date(scheduledFor) }),
    ...(parent === undefined ? {} : { parent }),
    historyLength: execution.lastSeq,
    continueAsNewSuggested: execution.lastSeq > continueAsNewAfter,
  }
}

/** 53 random bits, as Math.random has them. */
function randomFloat(execution: Execution): number {
  return ((execution.nextUint32() >>> 5) * 67_108_864 + (execution.nextUint32() >>> 6)) / 9_007_199_254_740_992
}

function uuid(execution: Execution): string {
  const words = [0, 1, 2, 3].map(() => execution.nextUint32())
  words[1] = (words[1]! & 0xffff0fff) | 0x00004000
  words[2] = (words[2]! & 0x3fffffff) | 0x80000000
  const hex = words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function createLog(write: (level: LogLevel, message: string, fields: object | undefined) => void): Log {
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  }
}
