/** A nudge that something may be ready. It may be lost, doubled or late, so nothing depends on it but speed. */
export type Hint =
  | { readonly kind: 'ready'; readonly queues: readonly string[] }
  /** Workers have come or gone. */
  | { readonly kind: 'workers'; readonly ids: readonly string[] }
  | { readonly kind: 'message'; readonly runIds: readonly string[] }
  | {
      readonly kind: 'closed'
      readonly runIds: readonly string[]
      /** What came of the only run named, when it is short. */
      readonly result?: { readonly status: string; readonly payload: string | null }
    }
