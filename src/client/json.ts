/** Values that runs were given and gave, as plain JSON: for people and for programs that do not know stet. */
import { encode, storedJson } from '../core/codec.js'

/** Any value that stet can store, as JSON: dates and maps in the form in which SQL shows them. */
export function plain(value: unknown): unknown {
  const text = encode(value, 'the value')
  return text === null ? null : storedJson(text)
}

/** For `JSON.stringify`: errors as their name, message, code and cause; large integers as text. */
export function replaceUnusual(_key: string, value: unknown): unknown {
  return value instanceof Error ? errorJson(value) : typeof value === 'bigint' ? String(value) : value
}

function errorJson(error: Error): object {
  const { name, message, cause, code } = error as Error & { code?: unknown }
  return { name, message, ...(code === undefined ? {} : { code }), ...(cause === undefined ? {} : { cause }) }
}
