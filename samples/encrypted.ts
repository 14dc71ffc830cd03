/**
 * Payloads that the database cannot read: AES-256-GCM around everything that a run is given, says and returns. The key
 * stays with the processes that start and run workflows. Names, ids and search attributes stay readable: do not put
 * secrets into those.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { type PayloadCodec, signal, workflow } from 'stet'

/**
 * Keys by id, so that a new key can be introduced: new payloads take the first one, old ones say which they need.
 * @example new Stet({ codec: aesGcm(new Map([['2026-11', key]])) })
 */
export function aesGcm(keys: ReadonlyMap<string, Buffer>): PayloadCodec {
  const [first] = keys
  if (first === undefined) throw new Error('aesGcm: expected at least one key')
  const [currentId, currentKey] = first
  return {
    encode(bytes) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', currentKey, iv)
      const id = Buffer.from(currentId)
      cipher.setAAD(id)
      const body = Buffer.concat([cipher.update(bytes), cipher.final()])
      return Buffer.concat([Buffer.from([id.length]), id, iv, cipher.getAuthTag(), body])
    },
    decode(bytes) {
      const buffer = Buffer.from(bytes)
      const id = buffer.subarray(1, 1 + buffer[0]!)
      const key = keys.get(id.toString())
      if (key === undefined) throw new Error(`no key "${id}"`)
      const rest = buffer.subarray(1 + id.length)
      const decipher = createDecipheriv('aes-256-gcm', key, rest.subarray(0, 12))
      decipher.setAAD(id)
      decipher.setAuthTag(rest.subarray(12, 28))
      return Buffer.concat([decipher.update(rest.subarray(28)), decipher.final()])
    },
  }
}

export interface Patient {
  readonly name: string
  readonly complaint: string
}

export const advice = signal<string>('advice')

/** A case that nobody but the clinic should read: looked at, perhaps referred, noted. */
export const consultation = workflow('consultation', async (ctx, patient: Patient) => {
  const finding = await ctx.step('examine', () => `${patient.name}: ${patient.complaint}, nothing serious`)
  const advised = await ctx.waitForSignal(advice, { timeout: '2d', default: 'rest' })
  return ctx.step('note', () => ({ finding, advice: advised }))
})
