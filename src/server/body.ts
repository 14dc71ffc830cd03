import { parseJson } from '../core/json.js'
import { HttpError } from './problems.js'

/**
 * The body of a request as JSON; nothing at all is an empty object. Read only as far as is allowed.
 * @throws HttpError 415 another content type, 413 more than `maxBytes`, 400 no JSON
 */
export async function readBody(request: Request, maxBytes: number): Promise<unknown> {
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)) {
    throw new HttpError(415, 'json_required', 'expected a body with content-type: application/json.')
  }
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const text = await readText(request, maxBytes)
  if (text.trim() === '') return {}
  try {
    return parseJson(text)
  } catch (error) {
    throw new HttpError(400, 'invalid_json', `expected JSON in the body (${(error as Error).message.slice(0, 200)}).`)
  }
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  if (request.body === null) return ''
  const chunks: Uint8Array[] = []
  let bytes = 0
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    bytes += value.byteLength
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => {})
      throw tooLarge(maxBytes)
    }
    chunks.push(value)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new HttpError(400, 'invalid_json', 'expected JSON in UTF-8 in the body.')
  }
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError(
    413,
    'too_large',
    `expected a body of at most ${maxBytes} bytes. The option maxBodyBytes sets it.`,
  )
}
