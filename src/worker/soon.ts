import { originals } from '../core/determinism.js'

/** Resolves when something has come true, or after a while. */
export function soon(isSo: () => boolean, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      originals.clearInterval(poll)
      originals.clearTimeout(limit)
      resolve()
    }
    const look = () => {
      if (isSo()) end()
    }
    const poll = originals.setInterval(look, 10)
    const limit = originals.setTimeout(end, withinMs)
    look()
  })
}
