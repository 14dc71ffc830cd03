import { AsyncLocalStorage } from 'node:async_hooks'
import crypto from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { inspect, promisify, types } from 'node:util'
import { customAlphabet, nanoid } from 'nanoid'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { installDeterminism, originals, type TurnSource } from '../../src/core/determinism.js'

const epoch = Date.UTC(2031, 4, 5, 6, 7, 8, 9)

/** A run made by hand: a clock, a seeded generator (xorshift32), and timers that fire when the test says so. */
class Run implements TurnSource {
  time = epoch
  pending: { name: string; ms: number; due: number; callback: () => void }[] = []
  readonly seen: unknown[] = []
  #state: number
  constructor(seed: number) {
    this.#state = seed
  }
  now() {
    return this.time
  }
  nextUint32() {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }
  startTimer(name: string, ms: number, callback: () => void) {
    if (executing !== this) throw new Error(`${name} outside the turn of its run`)
    const timer = { name, ms, due: this.time + ms, callback }
    this.pending.push(timer)
    return () => {
      this.pending = this.pending.filter((other) => other !== timer)
    }
  }
  /** Fires the earliest timer in a turn of its own. */
  async fire(): Promise<void> {
    const next = this.pending.toSorted((a, b) => a.due - b.due)[0]!
    this.pending = this.pending.filter((timer) => timer !== next)
    this.time = next.due
    await turn(this, next.callback)
  }
}

let executing: Run | null = null
const current = () => executing

/** A synchronous piece of a turn. */
function inside<T>(run: Run, fn: () => T): T {
  executing = run
  try {
    return fn()
  } finally {
    executing = null
  }
}

const timeOf = (date: Date) => date.getTime()

/** A whole turn as the engine makes it: whatever nextTicks and microtasks `fn` leaves run inside it. */
function turn(run: Run, fn: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    originals.setImmediate(() => {
      executing = run
      try {
        fn()
      } catch (error) {
        reject(error)
      }
    })
    originals.setImmediate(() => {
      executing = null
      resolve()
    })
  })
}

// A pool that was filled before the install. nanoid's default has room for 128 ids.
for (let i = 0; i < 5; i++) nanoid()

const RealDate = Date
const shapeBefore = shapes()
installDeterminism(current)

function shapes() {
  const owners: [object, string[]][] = [
    [globalThis, ['Date', 'setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval']],
    [globalThis, ['clearImmediate']],
    [Date, ['now', 'parse', 'UTC']],
    [Math, ['random']],
    [process, ['hrtime']],
    [process.hrtime, ['bigint']],
    [AbortSignal, ['timeout']],
    [Object.getPrototypeOf(performance), ['now']],
    [Object.getPrototypeOf(crypto.webcrypto), ['getRandomValues', 'randomUUID']],
    [Intl.DateTimeFormat.prototype, ['formatToParts']],
    [crypto, ['randomUUID', 'randomBytes', 'randomInt', 'randomFill', 'randomFillSync']],
    [timers, ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate']],
    [timersPromises, ['setTimeout', 'setInterval', 'setImmediate']],
    [Object.getPrototypeOf(timersPromises.scheduler), ['wait', 'yield']],
  ]
  return owners.flatMap(([owner, keys]) =>
    keys.map((key) => {
      const { value, ...flags } = Object.getOwnPropertyDescriptor(owner, key)!
      return [key, value.name, value.length, flags]
    }),
  )
}

const folder = mkdtempSync(join(tmpdir(), 'stet-determinism-'))
afterAll(() => rmSync(folder, { recursive: true }))
/** Writes a package and imports it as Node does, without vitest's transformation. */
async function nativePackage(name: string, source: string): Promise<any> {
  const home = join(folder, 'node_modules', name)
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'index.mjs'), source)
  return import(pathToFileURL(join(home, 'index.mjs')).href)
}

describe('the install', () => {
  it('keeps names, lengths and property flags', () => {
    expect(shapes()).toEqual(shapeBefore)
  })

  it('is idempotent, also across two copies of the package, and asks both', async () => {
    const patched = [Date, Math.random, setTimeout, crypto.randomUUID]
    installDeterminism(current)
    vi.resetModules()
    const copy = await import('../../src/core/determinism.js')
    expect(copy.installDeterminism).not.toBe(installDeterminism)
    let others: TurnSource | null = null
    copy.installDeterminism(() => others)
    expect([Date, Math.random, setTimeout, crypto.randomUUID]).toEqual(patched)
    expect(copy.originals).toBe(originals)
    expect(copy.originals.Date).toBe(RealDate)

    const run = new Run(1)
    others = run
    expect(Date.now()).toBe(epoch)
    others = null
    expect(inside(run, () => Date.now())).toBe(epoch)
    expect(Date.now()).toBeLessThan(epoch)
  })

  it('reaches named ESM imports of the built-in modules', async () => {
    const user = await nativePackage(
      'user',
      `import { randomUUID, randomBytes, randomInt, getRandomValues, webcrypto } from 'node:crypto'
       import { setTimeout as sleep } from 'node:timers/promises'
       import { setTimeout } from 'timers'
       export { sleep, setTimeout }
       export const draw = () =>
         [randomUUID(), randomBytes(9).toString('hex'), randomInt(1e9), getRandomValues(new Uint8Array(3)), webcrypto.randomUUID()]`,
    )
    expect(inside(new Run(5), user.draw)).toEqual(inside(new Run(5), user.draw))
    expect(user.sleep).toBe(timersPromises.setTimeout)
    expect(user.setTimeout).toBe(setTimeout)
  })

  it('leaves the originals to the engine, also inside a turn', () => {
    const run = new Run(1)
    inside(run, () => {
      expect(originals.now()).toBeLessThan(epoch)
      expect(new originals.Date().getTime()).toBeLessThan(epoch)
      expect(originals.performanceNow()).toBeLessThan(epoch)
      expect(originals.randomUUID()).not.toBe(originals.randomUUID())
      originals.clearTimeout(originals.setTimeout(() => {}, 1))
    })
    expect(run.pending).toEqual([])
  })

  it('outlives fake timers that a user puts on and takes off', () => {
    const run = new Run(1)
    vi.useFakeTimers({ now: 1000 })
    try {
      expect(Date.now()).toBe(1000)
      expect(originals.now()).toBeGreaterThan(1000)
    } finally {
      vi.useRealTimers()
    }
    expect(inside(run, () => Date.now())).toBe(epoch)
    inside(run, () => setTimeout(() => {}, 7))
    expect(run.pending).toMatchObject([{ ms: 7 }])
  })
})

describe('Date', () => {
  it("shows the turn's time inside, the machine's outside", () => {
    inside(new Run(1), () => {
      expect(Date.now()).toBe(epoch)
      expect(timeOf(new Date())).toBe(epoch)
      expect(Date()).toBe(new RealDate(epoch).toString())
    })
    const before = originals.now()
    expect(Date.now()).toBeGreaterThanOrEqual(before)
    expect(timeOf(new Date())).toBeGreaterThanOrEqual(before)
    expect(timeOf(new Date())).toBeLessThanOrEqual(originals.now())
    expect(Date.parse(Date())).toBeGreaterThan(before - 1001)
  })

  it('has whole milliseconds', () => {
    const run = new Run(1)
    run.time = 1000.75
    expect(inside(run, () => [Date.now(), timeOf(new Date())])).toEqual([1000, 1000])
  })

  it.each([['inside', new Run(1)] as const, ['outside', null] as const])('passes arguments on, %s', (_, run) => {
    executing = run
    const values = [
      new Date(5),
      new Date('2020-02-03T04:05:06Z'),
      new Date(2020, 1, 3, 4, 5, 6, 7),
      new Date(new Date(9)),
      new Date(undefined as any),
      Date.parse('2020-02-03T04:05:06Z'),
      Date.UTC(2020, 1),
    ]
    executing = null
    expect(values.map(Number)).toEqual([
      5,
      1580702706000,
      new RealDate(2020, 1, 3, 4, 5, 6, 7).getTime(),
      9,
      Number.NaN,
      1580702706000,
      1577836800000 + 31 * 86_400_000,
    ])
    expect(typeof (Date as any)(5)).toBe('string')
  })

  it('can be subclassed', () => {
    class Stamp extends Date {
      constructor(...args: [] | [number]) {
        super(...(args as [number]))
      }
      twice() {
        return this.getTime() * 2
      }
    }
    const stamp = inside(new Run(1), () => new Stamp())
    expect([stamp.getTime(), stamp.twice(), new Stamp(5).getTime()]).toEqual([epoch, epoch * 2, 5])
    expect(stamp).toBeInstanceOf(Stamp)
    expect(stamp).toBeInstanceOf(Date)
    expect(new Stamp().getTime()).toBeLessThan(epoch)
    expect(inside(new Run(1), () => Stamp.now())).toBe(epoch)
    expect(Reflect.construct(Date, [7], Stamp)).toBeInstanceOf(Stamp)
  })

  it('is the same kind of object as before', () => {
    const date = new Date()
    expect(date).toBeInstanceOf(RealDate)
    expect(new RealDate()).toBeInstanceOf(Date)
    expect(new RealDate().constructor).toBe(Date)
    expect(Object.prototype.toString.call(date)).toBe('[object Date]')
    expect(types.isDate(date)).toBe(true)
    expect(structuredClone(date)).toEqual(date)
    expect(structuredClone(date)).toBeInstanceOf(Date)
    expect(inspect(Date)).toBe('[Function: Date]')
    expect(Object.getOwnPropertyDescriptor(Date, 'prototype')).toMatchObject({ writable: false, enumerable: false })
  })
})

describe('other clocks', () => {
  it('performance', () => {
    const run = new Run(1)
    run.time = 1234.5
    expect(inside(run, () => performance.timeOrigin + performance.now())).toBe(1234.5)
    const before = originals.performanceNow()
    expect(performance.now()).toBeGreaterThanOrEqual(before)
    expect(Math.abs(performance.timeOrigin + performance.now() - originals.now())).toBeLessThan(10_000)
    expect(() => performance.now.call({} as any)).toThrow(TypeError)
    expect(() => inside(run, () => performance.now.call({} as any))).toThrow(TypeError)
  })

  it('process.hrtime', () => {
    const run = new Run(1)
    run.time = 1_700_000_000_123.5
    inside(run, () => {
      expect(process.hrtime()).toEqual([1_700_000_000, 123_500_000])
      expect(process.hrtime([1_699_999_999, 999_999_999])).toEqual([0, 123_500_001])
      expect(process.hrtime.bigint()).toBe(1_700_000_000_123_500_000n)
      expect(() => process.hrtime([1] as any)).toThrow(RangeError)
    })
    const [bigint, [seconds]] = [process.hrtime.bigint(), process.hrtime()]
    expect(bigint).toBeGreaterThan(0n)
    expect(Math.abs(seconds - Number(bigint / 1_000_000_000n))).toBeLessThan(2)
    expect(process.hrtime(process.hrtime())[0]).toBe(0)
  })

  it('Intl.DateTimeFormat without a date', () => {
    const format = new Intl.DateTimeFormat('en', { dateStyle: 'full', timeZone: 'UTC' })
    const kept = format.format
    inside(new Run(1), () => {
      expect(format.format()).toBe('Monday, May 5, 2031')
      expect(kept()).toBe('Monday, May 5, 2031')
      expect(format.formatToParts().find((part) => part.type === 'year')?.value).toBe('2031')
      expect(format.format(0)).toBe('Thursday, January 1, 1970')
      expect(format.formatToParts(0).at(-1)?.value).toBe('1970')
    })
    expect(format.format).toBe(kept)
    expect([kept.name, kept.length]).toEqual(['', 1])
    expect(format.format()).not.toContain('2031')
    expect(format.formatToParts().at(-1)?.value).not.toBe('2031')
    expect(() => Reflect.get(Intl.DateTimeFormat.prototype, 'format', {})).toThrow(TypeError)
  })
})

describe('randomness', () => {
  const bytes = (view: ArrayBufferView) => Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex')
  const draws: Record<string, () => unknown> = {
    'Math.random': () => Math.random(),
    'crypto.randomUUID (web)': () => globalThis.crypto.randomUUID(),
    'getRandomValues (web)': () => bytes(globalThis.crypto.getRandomValues(new Uint8Array(13))),
    'getRandomValues (node)': () => bytes(crypto.getRandomValues(new Uint32Array(5))),
    randomUUID: () => crypto.randomUUID({ disableEntropyCache: true }),
    randomBytes: () => bytes(crypto.randomBytes(300)),
    'randomBytes (alias)': () => bytes((crypto as any).pseudoRandomBytes(9)),
    randomInt: () => [crypto.randomInt(2 ** 47), crypto.randomInt(-(2 ** 46), 2 ** 46)],
    randomFillSync: () => bytes(crypto.randomFillSync(Buffer.alloc(11))),
  }
  it.each(Object.entries(draws))('%s depends on the seed alone, and only inside a turn', (_, draw) => {
    const of = (seed: number) => {
      const run = new Run(seed)
      return inside(run, () => [draw(), draw()])
    }
    const [first, second] = of(42)
    draw()
    expect(of(42)).toEqual([first, second])
    expect(second).not.toEqual(first)
    expect(of(43)).not.toEqual([first, second])
    expect(draw()).not.toEqual(draw())
  })

  it('callback forms answer within the turn', async () => {
    const of = async (seed: number) => {
      const run = new Run(seed)
      const answer = (error: Error | null, value: any) =>
        run.seen.push(error, typeof value === 'number' ? value : bytes(value), executing === run)
      await turn(run, () => {
        crypto.randomBytes(5, answer)
        crypto.randomInt(100, answer)
        crypto.randomInt(1000, 2000, answer)
        crypto.randomFill(new Uint8Array(6), answer)
        crypto.randomFill(Buffer.alloc(6), 4, answer)
        crypto.randomFill(Buffer.alloc(6), 1, 2, answer)
        expect(run.seen).toEqual([])
      })
      return run.seen
    }
    const seen = await of(9)
    expect(seen.length).toBe(18)
    expect(seen.filter((_, i) => i % 3 === 2)).toEqual([true, true, true, true, true, true])
    expect(seen[13]).toMatch(/^0{8}/)
    expect(seen[16]).toMatch(/^00.{4}0{6}$/)
    expect(await of(9)).toEqual(seen)
    expect(await of(10)).not.toEqual(seen)
    await turn(new Run(1), async () => expect(await promisify(crypto.randomBytes)(3)).toHaveLength(3))
    // Outside: the originals, which answer later.
    expect(await promisify(crypto.randomInt as any)(1)).toBe(0)
    expect(await promisify(crypto.randomFill)(Buffer.alloc(4))).toHaveLength(4)
  })

  it('makes valid UUIDs of version 4', () => {
    const run = new Run(3)
    for (let i = 0; i < 200; i++) {
      const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
      expect(inside(run, () => crypto.randomUUID())).toMatch(pattern)
      expect(inside(run, () => globalThis.crypto.randomUUID())).toMatch(pattern)
    }
  })

  it('is uniform', () => {
    const run = new Run(77)
    inside(run, () => {
      const counts = [0, 0, 0]
      let sum = 0
      for (let i = 0; i < 30_000; i++) {
        counts[crypto.randomInt(-1, 2) + 1]!++
        const x = Math.random()
        expect(x >= 0 && x < 1).toBe(true)
        sum += x
      }
      for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400) // 5 sigma
      expect(Math.abs(sum / 30_000 - 0.5)).toBeLessThan(0.0085)
    })
  })

  it('fills only what was asked for', () => {
    inside(new Run(8), () => {
      const words = crypto.randomFillSync(new Uint16Array(4), 1, 2)
      expect([words[0], words[3]]).toEqual([0, 0])
      expect(words[1]! | words[2]!).toBeGreaterThan(0)
      const inner = new Uint8Array(12)
      crypto.getRandomValues(inner.subarray(4, 9))
      expect(bytes(inner)).toMatch(/^0{8}.{10}0{6}$/)
      expect(
        new Uint8Array(crypto.randomFillSync(new ArrayBuffer(8) as any, 6) as any).findIndex((b) => b > 0),
      ).toBeGreaterThan(5)
      expect(crypto.getRandomValues(new Uint8Array(0))).toHaveLength(0)
      expect(crypto.randomBytes(0)).toHaveLength(0)
    })
  })

  it.each([['inside', new Run(1)] as const, ['outside', null] as const])(
    'refuses what the originals refuse, %s',
    (_, run) => {
      const refusal = (fn: () => unknown) => {
        executing = run
        try {
          fn()
        } catch (error: any) {
          return `${error.name} ${error.code}`
        } finally {
          executing = null
        }
      }
      const web = globalThis.crypto
      expect(refusal(() => web.getRandomValues(new Uint8Array(65_537)))).toBe('QuotaExceededError 22')
      expect(refusal(() => web.getRandomValues(new Float32Array(1) as any))).toBe('TypeMismatchError 17')
      expect(refusal(() => web.getRandomValues.call({} as any, new Uint8Array(1)))).toBe('TypeError ERR_INVALID_THIS')
      expect(refusal(() => (web as any).getRandomValues())).toMatch(/^TypeError/)
      expect(refusal(() => web.randomUUID.call({} as any))).toBe('TypeError ERR_INVALID_THIS')
      expect(refusal(() => crypto.randomUUID(1 as any))).toBe('TypeError ERR_INVALID_ARG_TYPE')
      expect(refusal(() => crypto.randomBytes(-1))).toBe('RangeError ERR_OUT_OF_RANGE')
      expect(refusal(() => crypto.randomBytes(1, 1 as any))).toBe('TypeError ERR_INVALID_ARG_TYPE')
      expect(refusal(() => crypto.randomInt(5, 5))).toBe('RangeError ERR_OUT_OF_RANGE')
      expect(refusal(() => crypto.randomInt(1.5))).toBe('TypeError ERR_INVALID_ARG_TYPE')
      expect(refusal(() => crypto.randomInt(0, 5, 1 as any))).toBe('TypeError ERR_INVALID_ARG_TYPE')
      expect(refusal(() => crypto.randomFillSync(Buffer.alloc(2), 3))).toBe('RangeError ERR_OUT_OF_RANGE')
      expect(refusal(() => (crypto as any).randomFill(Buffer.alloc(2)))).toBe('TypeError ERR_INVALID_ARG_TYPE')
    },
  )
})

describe('packages with a pool of random bytes', () => {
  const hexId = customAlphabet('0123456789abcdef', 9)
  const oddId = customAlphabet('xyz', 11)
  const makers: Record<string, () => unknown> = { nanoid, 'nanoid(100)': () => nanoid(100), hexId, oddId }

  async function uuidLike() {
    return nativePackage(
      'uuid',
      `import { randomFillSync } from 'node:crypto'
       const bytes = new Uint8Array(256)
       let next = bytes.length
       export default function id() {
         if (next + 16 > bytes.length) { randomFillSync(bytes); next = 0 }
         next += 16
         return Buffer.from(bytes.slice(next - 16, next)).toString('hex')
       }`,
    )
  }

  it('nanoid: ids inside turns depend only on the seed, in any mixture with calls outside', () => {
    const ids = new Set<unknown>()
    const outside = (times: number) => {
      for (let i = 0; i < times; i++) ids.add(nanoid())
      return times
    }
    const of = (seed: number, between: () => number) => {
      const run = new Run(seed)
      const made: unknown[] = []
      for (let round = 0; round < 40; round++) {
        for (const make of Object.values(makers)) {
          made.push(inside(run, make))
          outsideCount += between()
        }
      }
      return made
    }
    let outsideCount = 0
    const first = of(6, () => 0)
    // The pool of before the install is gone, or this would differ.
    expect(first).toEqual(of(6, () => outside(1)))
    let n = 0
    expect(first).toEqual(of(6, () => outside(n++ % 131)))
    expect(of(7, () => outside(2))).not.toEqual(first)
    expect(new Set(first).size).toBe(160)
    // Outside, nothing of what a turn had seeded is handed out: every id is new, and none is one of a turn.
    expect(ids.size).toBe(outsideCount)
    expect(first.some((id) => ids.has(id))).toBe(false)
    expect(first[3]).toMatch(/^[xyz]{11}$/)
    expect(first[2]).toMatch(/^[0-9a-f]{9}$/)
  })

  it('nanoid: what a turn seeded does not come out elsewhere', () => {
    const after = (seed: number) => {
      inside(new Run(seed), () => nanoid())
      return [nanoid(), hexId(), oddId()]
    }
    const [a, b] = [after(11), after(11)]
    for (const [i, id] of a.entries()) expect(b[i]).not.toBe(id)
    // Nor from one run's turn to another's.
    inside(new Run(1), () => nanoid())
    const x = inside(new Run(2), () => nanoid())
    inside(new Run(3), () => nanoid())
    expect(inside(new Run(2), () => nanoid())).toBe(x)
  })

  it('uuid up to 11, and bundled: the same', async () => {
    const { default: id } = await uuidLike()
    const of = (seed: number, between: number) => {
      const run = new Run(seed)
      return Array.from({ length: 40 }, () => {
        for (let i = 0; i < between; i++) id()
        return inside(run, id)
      })
    }
    const first = of(1, 0)
    expect(new Set(first).size).toBe(40)
    expect(of(1, 3)).toEqual(first)
    expect(of(2, 3)).not.toEqual(first)
    inside(new Run(9), id)
    const outside = [id(), id()]
    inside(new Run(9), id)
    expect([id(), id()]).not.toEqual(outside)

    const pool = new Uint8Array(256)
    function rng2() {
      crypto.getRandomValues(pool)
    }
    rng2()
    expect([pool.length, inside(new Run(1), () => pool.length)]).toEqual([256, 0])
  })

  it("leaves everybody else's buffers and the stack settings alone", () => {
    const { prepareStackTrace, stackTraceLimit } = Error
    const buffer = crypto.randomFillSync(Buffer.alloc(4096))
    inside(new Run(1), () => {
      crypto.randomFillSync(buffer)
      expect(buffer.length).toBe(4096)
      expect(Object.getOwnPropertyNames(crypto.getRandomValues(new Uint32Array(999)))).toHaveLength(999)
    })
    expect(Object.hasOwn(buffer, 'length')).toBe(false)
    expect([Error.prepareStackTrace, Error.stackTraceLimit]).toEqual([prepareStackTrace, stackTraceLimit])
  })
})

describe('timers', () => {
  it('are durable inside a turn', async () => {
    const run = new Run(1)
    await turn(run, () => {
      setTimeout((...args: unknown[]) => run.seen.push(args, Date.now() - epoch), 3_000_000_000, 'a', 'b')
      timers.setTimeout(function (this: unknown) {
        run.seen.push((this as any).constructor.name, executing === run)
      }, '20' as any)
      setTimeout(() => run.seen.push('soon'), -5)
      setImmediate((x: unknown) => run.seen.push(x), 'now')
    })
    expect(run.pending.map(({ name, ms }) => [name, ms])).toEqual([
      ['setTimeout', 3_000_000_000],
      ['setTimeout', 20],
      ['setTimeout', 1],
      ['setImmediate', 0],
    ])
    while (run.pending.length > 0) await run.fire()
    expect(run.seen).toEqual(['now', 'soon', 'Timeout', true, ['a', 'b'], 3_000_000_000])
  })

  it('are the originals outside, with their errors everywhere', async () => {
    const run = new Run(1)
    const [timeout, interval, immediate] = [setTimeout(() => {}, 1), setInterval(() => {}, 1), setImmediate(() => {})]
    const real = originals.setTimeout(() => {}, 1)
    expect(timeout.constructor).toBe(real.constructor)
    originals.clearTimeout(real)
    clearTimeout(+timeout)
    clearInterval(interval)
    clearImmediate(immediate)
    expect([(timeout as any)._destroyed, (interval as any)._destroyed, (immediate as any)._destroyed]).toEqual([
      true,
      true,
      true,
    ])
    expect(await new Promise((resolve) => setTimeout((a, b) => resolve([a, b]), 1, 'x', 'y'))).toEqual(['x', 'y'])
    expect(await new Promise((resolve) => setImmediate(resolve, 'z'))).toBe('z')
    for (const start of [setTimeout, setInterval, setImmediate] as any[]) {
      expect(() => start('code')).toThrow(TypeError)
      expect(() => inside(run, () => start('code'))).toThrow(TypeError)
    }
    for (const nothing of [undefined, null, 5, 'five', {}] as any[]) {
      inside(run, () => [clearTimeout(nothing), clearInterval(nothing)])
    }
    inside(run, () => [clearImmediate(undefined), clearImmediate(null as any)])
    // A real timer can be cleared from inside a turn.
    const stopped = setTimeout(() => {}, 60_000)
    inside(run, () => clearTimeout(stopped))
    expect((stopped as any)._destroyed).toBe(true)
    expect(run.pending).toEqual([])
  })

  it('are cancelled by clearing, by object or by number', async () => {
    const run = new Run(1)
    const start = () => inside(run, () => setTimeout(() => run.seen.push('fired'), 5))
    const ways: ((timer: NodeJS.Timeout) => unknown)[] = [
      (timer) => clearTimeout(timer),
      (timer) => clearInterval(timer),
      (timer) => clearTimeout(+timer),
      (timer) => timers.clearInterval(`${timer}`),
      (timer) => timer.close(),
      (timer) => timer[Symbol.dispose](),
    ]
    for (const clear of ways) {
      const timer = start()
      expect(run.pending).toHaveLength(1)
      inside(run, () => clear(timer))
      expect(run.pending).toEqual([])
      inside(run, () => [clear(timer), timer.refresh()]) // no harm, no revival
      expect(run.pending).toEqual([])
    }
    const immediate = inside(run, () => setImmediate(() => {}))
    inside(run, () => clearTimeout(immediate as any))
    expect(run.pending).toHaveLength(1)
    inside(run, () => clearImmediate(immediate))
    expect(run.pending).toEqual([])
    expect(run.seen).toEqual([])
  })

  it('have numbers that do not depend on other runs', () => {
    const numbers = (run: Run) => inside(run, () => [setTimeout(() => {}, 1), setTimeout(() => {}, 1)].map(Number))
    const [a, b] = [new Run(1), new Run(1)]
    const [one, two] = numbers(a)
    expect(two).not.toBe(one)
    expect(numbers(b)).toEqual([one, two])
    inside(b, () => clearTimeout(one))
    expect([a.pending.length, b.pending.length]).toEqual([2, 1])
  })

  it('look like a Timeout and an Immediate', async () => {
    const run = new Run(1)
    const timeout = inside(run, () => setTimeout(() => run.seen.push(Date.now() - epoch), 10))
    const immediate = inside(run, () => setImmediate(() => {}))
    for (const timer of [timeout, immediate]) {
      expect(timer.hasRef()).toBe(true)
      expect(timer.unref()).toBe(timer)
      expect(timer.hasRef()).toBe(false)
      expect(timer.ref().hasRef()).toBe(true)
    }
    expect([timeout.constructor.name, immediate.constructor.name]).toEqual(['Timeout', 'Immediate'])
    expect(Number.isSafeInteger(+timeout)).toBe(true)
    inside(run, () => clearImmediate(immediate))

    run.time += 4
    inside(run, () => timeout.refresh())
    await run.fire()
    expect(run.seen).toEqual([14])
    inside(run, () => timeout.refresh()) // fired timers start again
    await run.fire()
    expect(run.seen).toEqual([14, 24])
    expect(run.pending).toEqual([])
  })

  it('setInterval goes on until it is cleared, also after a throw', async () => {
    const run = new Run(1)
    await turn(run, () => {
      const interval = setInterval(
        (tag: string) => {
          run.seen.push(`${tag}${Date.now() - epoch}`)
          if (run.seen.length === 2) throw new Error('once')
          if (run.seen.length === 4) clearInterval(interval)
        },
        10,
        't',
      )
    })
    await run.fire()
    await expect(run.fire()).rejects.toThrow('once')
    await run.fire()
    await run.fire()
    expect(run.seen).toEqual(['t10', 't20', 't30', 't40'])
    expect(run.pending).toEqual([])
  })

  it("keep the caller's AsyncLocalStorage", async () => {
    const run = new Run(1)
    const storage = new AsyncLocalStorage<string>()
    await turn(run, () => storage.run('mine', () => setTimeout(() => run.seen.push(storage.getStore()), 1)))
    await run.fire()
    expect(run.seen).toEqual(['mine'])
  })

  it('AbortSignal.timeout', async () => {
    const run = new Run(1)
    const signal = inside(run, () => AbortSignal.timeout(50))
    expect([signal.aborted, run.pending[0]?.name]).toEqual([false, 'AbortSignal.timeout'])
    await run.fire()
    expect([signal.aborted, signal.reason.name]).toEqual([true, 'TimeoutError'])
    expect(() => inside(run, () => AbortSignal.timeout(-1))).toThrow(RangeError)
    expect(AbortSignal.timeout(1)).toBeInstanceOf(AbortSignal)
    expect(run.pending).toEqual([])
  })
})

describe('node:timers/promises', () => {
  const { scheduler } = timersPromises

  it('is durable inside a turn', async () => {
    const run = new Run(1)
    const note = (value: unknown) => run.seen.push([value, Date.now() - epoch, executing === run])
    await turn(run, async () => {
      note(await timersPromises.setTimeout(86_400_000, 'day'))
      note(await promisify(setTimeout)(30, 'promisified'))
      note(await timersPromises.setImmediate('immediate'))
      note(await promisify(setImmediate)('promisified'))
      note(await scheduler.wait(5))
      note(await scheduler.yield())
    })
    const names: string[] = []
    while (run.pending.length > 0) {
      expect(run.pending).toHaveLength(1)
      names.push(run.pending[0]!.name)
      await run.fire()
    }
    const day = 86_400_000
    expect(names).toEqual(['setTimeout', 'setTimeout', 'setImmediate', 'setImmediate', 'setTimeout', 'setImmediate'])
    expect(run.seen).toEqual([
      ['day', day, true],
      ['promisified', day + 30, true],
      ['immediate', day + 30, true],
      ['promisified', day + 30, true],
      [undefined, day + 35, true],
      [undefined, day + 35, true],
    ])
    expect(promisify(setTimeout)).toBe(timersPromises.setTimeout)
  })

  it('setInterval waits only while the loop waits, and catches up', async () => {
    const run = new Run(1)
    await turn(run, async () => {
      let n = 0
      for await (const value of timersPromises.setInterval(10, 'tick')) {
        run.seen.push([value, Date.now() - epoch])
        if (++n === 2) await timersPromises.setTimeout(25)
        if (n === 5) break
      }
      run.seen.push('left')
    })
    while (run.pending.length > 0) {
      expect(run.pending).toHaveLength(1)
      await run.fire()
    }
    expect(run.seen).toEqual([['tick', 10], ['tick', 20], ['tick', 45], ['tick', 45], ['tick', 50], 'left'])
  })

  it('obeys an AbortSignal like the originals', async () => {
    const run = new Run(1)
    const controller = new AbortController()
    const { signal } = controller
    const note = (error: any) => run.seen.push(`${error.name} ${error.code} ${error.cause}`)
    await turn(run, () => {
      timersPromises.setTimeout(10, 1, { signal }).catch(note)
      timersPromises.setImmediate(1, { signal }).catch(note)
      scheduler.wait(10, { signal }).catch(note)
      timersPromises.setInterval(10, 1, { signal }).next().catch(note)
      timersPromises.setTimeout(10, 'unharmed').then((value) => run.seen.push(value))
    })
    expect(run.pending).toHaveLength(5)
    await turn(run, () => controller.abort('why'))
    expect(run.pending).toHaveLength(1)
    expect(run.seen).toEqual(Array(4).fill('AbortError ABORT_ERR why'))
    await turn(run, () => {
      timersPromises.setTimeout(10, 1, { signal }).catch(note)
      timersPromises.setImmediate(1, { signal }).catch(note)
      scheduler.wait(10, { signal }).catch(note)
      timersPromises.setInterval(10, 1, { signal }).next().catch(note)
    })
    await run.fire()
    expect(run.seen.slice(4).toSorted()).toEqual([...Array(4).fill('AbortError ABORT_ERR why'), 'unharmed'])
    expect(run.pending).toEqual([])
  })

  it('refuses what the originals refuse', async () => {
    const run = new Run(1)
    for (const args of [['5'], [1, 1, null], [1, 1, { signal: {} }], [1, 1, { signal: null }], [1, 1, { ref: 1 }]]) {
      await expect((originals.sleep as any)(...args)).rejects.toThrow(TypeError)
      let promise: Promise<unknown> | undefined
      await turn(run, () => {
        promise = (timersPromises.setTimeout as any)(...args)
        promise!.catch(() => {})
      })
      await expect(promise).rejects.toThrow(TypeError)
    }
    expect(run.pending).toEqual([])
  })

  it('is the original outside', async () => {
    expect(await timersPromises.setTimeout(1, 'a')).toBe('a')
    expect(await timersPromises.setImmediate('b')).toBe('b')
    expect(await scheduler.wait(1)).toBeUndefined()
    expect(await promisify(setTimeout)(1, 'c')).toBe('c')
    for await (const value of timersPromises.setInterval(1, 'd')) {
      expect(value).toBe('d')
      break
    }
    await expect(timersPromises.setTimeout(1, 1, { signal: AbortSignal.abort() })).rejects.toThrow('aborted')
    expect(() => scheduler.wait.call({} as any, 1)).toThrow(TypeError)
    expect(() => inside(new Run(1), () => scheduler.wait.call({} as any, 1))).toThrow(TypeError)
  })
})
