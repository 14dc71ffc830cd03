/** What the server's answers hold; `/openapi.json` describes them. */
import type { RunGraph, RunStatus } from '../../core/types.ts'

export type { RunGraph, RunStatus }
export type GraphNode = RunGraph['nodes'][number]
export type Role = 'view' | 'operate' | 'admin'

export interface Named {
  readonly id: string
  readonly runId: string
}

/** A run, as in lists. */
export interface RunItem extends Named {
  readonly workflow: string
  readonly version: number
  readonly queue: string
  readonly status: RunStatus
  readonly createdAt: string
  readonly startedAt?: string
  readonly closedAt?: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly parent?: Named
  readonly forkedFrom?: { readonly runId: string; readonly seq: number }
  readonly error?: ErrorJson
  readonly superseded?: true
  readonly historyLength: number
}

export interface RunPage {
  readonly runs: readonly RunItem[]
  readonly next?: string
  /** It was looked for only as far as `next`: what belongs on this page may stand behind that. */
  readonly bounded?: boolean
}

export interface ErrorJson {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: ErrorJson
}

/** What a parked run waits for, or a running one does, before an event mentions it. */
export interface Wait {
  readonly op: number
  readonly kind: string
  readonly name: string
  readonly nth?: number
  readonly causes: string
  readonly askedAt: number
  readonly attempts?: number
  readonly dueAt?: number | null
  readonly where?: string
}

/** `GET /api/runs/:run/summary`: a run without its history. */
export interface RunSummary extends Named {
  readonly workflow: string
  readonly version: number
  readonly queue: string
  readonly priority: number
  readonly status: RunStatus
  readonly attributes: Readonly<Record<string, unknown>> | null
  readonly parent: Named | null
  readonly forkedFrom: { readonly runId: string; readonly seq: number } | null
  readonly createdAt: string
  readonly startedAt: string | null
  readonly closedAt: string | null
  readonly deadline: string | null
  readonly due: string | null
  readonly worker: string | null
  readonly error: ErrorJson | null
  readonly historyLength: number
  readonly problem: { readonly code: string; readonly message: string; readonly where?: string } | null
  readonly waits: readonly Wait[]
}

/** An event of a history. With `brief`, a long value in `data` is `{ omitted: bytes }`. */
export interface EventJson {
  readonly seq: number
  readonly type: string
  readonly at: string
  readonly op?: number
  readonly name?: string
  readonly data?: Readonly<Record<string, unknown>>
}

export interface HistoryPage {
  readonly runId: string
  readonly events: readonly EventJson[]
  readonly length: number
  readonly next?: number
}

export interface Reason {
  readonly code: string
  readonly message: string
  readonly evidence: Readonly<Record<string, unknown>>
}

export interface WorkerItem {
  readonly id: string
  readonly host: string | null
  readonly pid: number | null
  readonly queues: readonly string[]
  readonly workflows: readonly { readonly name: string; readonly version: number }[]
  readonly runs: number
  readonly startedAt: string | null
  readonly beatAgeMs: number
}

/** Each status, counted so far and no farther. */
export interface Counts {
  readonly counts: Readonly<Record<RunStatus, number>>
  /** Statuses that have more than was counted. */
  readonly more: readonly RunStatus[]
  readonly limit: number
}

export interface Session {
  readonly role: Role
  readonly actor: string
}

/** A workflow that is known by its workers and its runs. */
export interface WorkflowItem {
  readonly name: string
  readonly versions: readonly number[]
  /** Those that a live worker has. */
  readonly served: readonly number[]
}
