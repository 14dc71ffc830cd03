/** A small generator of 32-bit numbers (sfc32), the same for the same seed text on every machine. */
export function randomFrom(seed: string): () => number {
  let [a, b, c, d] = hash(seed)
  const next = () => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    c |= 0
    return t >>> 0
  }
  // The first numbers still show the seed's pattern.
  for (let i = 0; i < 12; i++) next()
  return next
}

/** Four 32-bit hashes of a text (FNV-1a with different offsets, mixed at the end). */
function hash(text: string): [number, number, number, number] {
  const h: [number, number, number, number] = [0x811c9dc5, 0x1b873593, 0xcc9e2d51, 0x85ebca6b]
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    for (let k = 0; k < 4; k++) h[k] = Math.imul(h[k]! ^ unit, 0x01000193 + 2 * k)
  }
  for (let k = 0; k < 4; k++) {
    h[k] = Math.imul(h[k]! ^ (h[k]! >>> 16), 0x45d9f3b)
    h[k] = (h[k]! ^ (h[k]! >>> 15)) | 0
  }
  return h
}
