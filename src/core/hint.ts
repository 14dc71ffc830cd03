/** A nudge that something may be ready. It may be lost, doubled or late, so nothing depends on it but speed. */
export type Hint =
  | { readonly kind: 'ready'; readonly queues: readonly string[] }
  /** A run will be ready in so many ms. */
  | { readonly kind: 'later'; readonly inMs: number }
  /** Workers have come or gone. */
  | { readonly kind: 'workers'; readonly ids: readonly string[] }
  | { readonly kind: 'message'; readonly runIds: readonly string[] }
  /** Updates of these runs were answered. */
  | { readonly kind: 'answered'; readonly runIds: readonly string[] }
  /** Somebody asks these workflows something; `ids` of their answers. */
  | { readonly kind: 'query'; readonly ids: readonly string[] }
  | { readonly kind: 'queryAnswered'; readonly ids: readonly string[] }
  | {
      readonly kind: 'closed'
      readonly runIds: readonly string[]
      /** What came of the only run named, when it is short. */
      readonly result?: { readonly status: string; readonly payload: string | null }
    }
