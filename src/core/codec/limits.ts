/** The largest payload that is stored, in bytes of encoded text (UTF-8): 32 MiB. */
export const maxPayloadBytes = 32 * 1024 * 1024

/** The deepest nesting that is stored; the value itself is level 1. Keeps every walk here clear of a stack overflow. */
export const maxDepth = 500

/** A level of a value takes at most three brackets of tagged text (a Map: list, pair, value) and the envelope a few. */
export const maxTaggedTextDepth = 4 * maxDepth
