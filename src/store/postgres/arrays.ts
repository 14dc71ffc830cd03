/**
 * Arrays as binary parameters. The text form of an array must be quoted and escaped here and parsed there, which costs
 * more than the insert itself for payloads; the binary form is lengths and bytes.
 *
 * Statements join an array (`unnest`) rather than ask for `= ANY` of it: a plan that goes through a table would compare
 * every row with every element.
 */

const header = 20
const oids = { text: 25, int4: 23, float8: 701 } as const

function begin(buffer: Buffer, oid: number, length: number, hasNull: boolean): void {
  buffer.writeInt32BE(1, 0) // dimensions
  buffer.writeInt32BE(hasNull ? 1 : 0, 4)
  buffer.writeInt32BE(oid, 8)
  buffer.writeInt32BE(length, 12)
  buffer.writeInt32BE(1, 16) // lower bound
}

/** An empty array has no dimension at all. */
function empty(oid: number): Buffer {
  const buffer = Buffer.alloc(12)
  buffer.writeInt32BE(oid, 8)
  return buffer
}

/** For a `$n::text[]` parameter. */
export function textArray(values: readonly (string | null)[]): Buffer {
  if (values.length === 0) return empty(oids.text)
  let bytes = header
  for (const value of values) bytes += 4 + (value === null ? 0 : value.length * 3)
  const buffer = Buffer.allocUnsafe(bytes)
  let at = header
  let hasNull = false
  for (const value of values) {
    if (value === null) {
      hasNull = true
      buffer.writeInt32BE(-1, at)
      at += 4
      continue
    }
    const written = buffer.write(value, at + 4)
    buffer.writeInt32BE(written, at)
    at += 4 + written
  }
  begin(buffer, oids.text, values.length, hasNull)
  return buffer.subarray(0, at)
}

/** For a `$n::int[]` parameter. */
export function intArray(values: readonly (number | null)[]): Buffer {
  if (values.length === 0) return empty(oids.int4)
  const buffer = Buffer.allocUnsafe(header + values.length * 8)
  let at = header
  let hasNull = false
  for (const value of values) {
    if (value === null) {
      hasNull = true
      buffer.writeInt32BE(-1, at)
      at += 4
      continue
    }
    buffer.writeInt32BE(4, at)
    buffer.writeInt32BE(value, at + 4)
    at += 8
  }
  begin(buffer, oids.int4, values.length, hasNull)
  return buffer.subarray(0, at)
}

/** For a `$n::float8[]` parameter: times as ms since the epoch. */
export function floatArray(values: readonly (number | null)[]): Buffer {
  if (values.length === 0) return empty(oids.float8)
  const buffer = Buffer.allocUnsafe(header + values.length * 12)
  let at = header
  let hasNull = false
  for (const value of values) {
    if (value === null) {
      hasNull = true
      buffer.writeInt32BE(-1, at)
      at += 4
      continue
    }
    buffer.writeInt32BE(8, at)
    buffer.writeDoubleBE(value, at + 4)
    at += 12
  }
  begin(buffer, oids.float8, values.length, hasNull)
  return buffer.subarray(0, at)
}
