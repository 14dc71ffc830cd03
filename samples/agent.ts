// An agent: a model says what to do next, tools do it side by side, and what is dangerous waits for a person.
// Terminal 1: mkdir papers; echo "DRAFT of a plan" > papers/plan.txt; echo "The report" > papers/report.txt
//             npx stet worker samples/agent.ts
// Terminal 2: npx stet start agent --id tidy-1 --input '{"goal":"delete the drafts","folder":"papers"}'
//             npx stet query tidy-1 progress
//             npx stet signal tidy-1 decide '{"call":"delete plan.txt","approved":true,"by":"ada"}'
import { readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Ctx, type Duration, NonRetryableError, query, StepFailure, signal, workflow } from 'stet'

export interface Task {
  goal: string
  /** What the tools may see and change: the files in this folder. */
  folder: string
  /** How long a person may take to decide on a dangerous call; default a day. */
  decideWithin?: Duration
  /** How often the model may be asked; default 20. */
  maxTurns?: number
}
/** The model asks for a tool. Its ids are unique in one conversation. */
export interface Call {
  id: string
  tool: string
  file?: string
}
export type Message =
  | { role: 'user'; text: string }
  | { role: 'model'; text: string; calls: Call[] }
  | { role: 'tool'; call: Call; result: string }

/** Any model: it gets the conversation and answers with calls of tools or, at last, with words alone. */
export type Model = (messages: readonly Message[], signal: AbortSignal) => Promise<{ text: string; calls: Call[] }>

/** What a person says to a dangerous call. */
export interface Decision {
  call: string
  approved: boolean
  by: string
  note?: string
}

export const decide = signal<Decision>('decide')
export const progress = query<{ turn: number; undecided: Call[]; messages: Message[] }>('progress')

/** An agent with a model of your own: `export const mine = agentWith('mine', askMyModel)`. */
export function agentWith(name: string, model: Model) {
  return workflow(name, async (ctx, task: Task) => {
    const { goal, maxTurns = 20 } = task
    const messages: Message[] = [{ role: 'user', text: goal }]
    const approvals = new Approvals(ctx, task.decideWithin ?? '1d')
    let turn = 0
    ctx.onQuery(progress, () => ({ turn, undecided: approvals.undecided, messages }))

    while (turn++ < maxTurns) {
      // What the model said is recorded, and stands: after a crash it is not asked again, and not paid for twice.
      const { text, calls } = await ctx.step('model', { timeout: '2m', retry: { maxAttempts: 6 } }, (step) =>
        model(messages, step.signal),
      )
      messages.push({ role: 'model', text, calls })
      if (calls.length === 0) return { answer: text, turns: turn }

      // Calls of one turn go side by side; one that waits for a person holds up none of the others.
      const results = await Promise.all(calls.map((call) => perform(ctx, call, task.folder, approvals)))
      messages.push(...calls.map((call, i) => ({ role: 'tool' as const, call, result: results[i]! })))
    }
    throw new Error(`no answer after ${maxTurns} turns`)
  })
}

/** What a call came to, in words for the model: it learns of a denial or a failure and can do something else. */
async function perform(ctx: Ctx<Task>, call: Call, folder: string, approvals: Approvals): Promise<string> {
  const tool = Object.hasOwn(tools, call.tool) ? tools[call.tool] : undefined
  if (tool === undefined) return `error: there is no tool "${call.tool}"`
  if (tool.dangerous) {
    const denial = await approvals.denial(call)
    if (denial !== null) return denial
  }
  try {
    return await ctx.step(call.tool, { retry: { maxAttempts: 3 } }, () => tool.run(folder, call.file))
  } catch (error) {
    // Anything else, as that the run was cancelled, is no business of the model's.
    if (!(error instanceof StepFailure)) throw error
    return `error: ${(error.cause as Error).message}`
  }
}

/** Dangerous calls that wait for a person. */
class Approvals {
  readonly #ctx: Ctx
  readonly #within: Duration
  readonly #open = new Map<string, { call: Call; decision: Decision | null }>()

  constructor(ctx: Ctx, within: Duration) {
    this.#ctx = ctx
    this.#within = within
    ctx.onSignal(decide, (decision) => {
      // What nobody has asked for is not approved in advance, and the first word counts. A message may come from
      // anywhere and be anything; a handler that throws would fail the run.
      const asked = this.#open.get(decision?.call)
      if (asked !== undefined) asked.decision ??= decision
    })
  }

  get undecided(): Call[] {
    return [...this.#open.values()].filter(({ decision }) => decision === null).map(({ call }) => call)
  }

  /** Waits for the decision; null: approved. */
  async denial(call: Call): Promise<string | null> {
    const asked = { call, decision: null as Decision | null }
    this.#open.set(call.id, asked)
    const inTime = await this.#ctx.condition(() => asked.decision !== null, { timeout: this.#within })
    this.#open.delete(call.id)
    if (!inTime) return 'denied: nobody decided in time'
    const { approved, by, note } = asked.decision!
    return approved ? null : `denied by ${by}${note === undefined ? '' : `: ${note}`}`
  }
}

// ── tools ────────────────────────────────────────────────────────────────────────────────────────

interface Tool {
  dangerous?: true
  run(folder: string, file: string | undefined): Promise<string>
}

const tools: Record<string, Tool> = {
  list: { run: async (folder) => (await readdir(folder)).sort().join('\n') },
  read: { run: (folder, file) => readFile(inside(folder, file), 'utf8') },
  delete: {
    dangerous: true,
    run: async (folder, file) => {
      await rm(inside(folder, file), { force: true })
      return 'deleted'
    },
  },
}

/** A model may come up with any path; it gets no further than the folder. */
function inside(folder: string, file: string | undefined): string {
  if (file !== undefined && file === basename(file) && file !== '..' && file !== '.') return join(folder, file)
  throw new NonRetryableError(`"${file}" is no name of a file in the folder`)
}

// ── a model ──────────────────────────────────────────────────────────────────────────────────────

/** Stands for a language model, and says the same each time: looks around, reads all files, deletes the drafts. */
export const tidy: Model = async (messages) => {
  const results = (tool: string) =>
    messages.flatMap((message) => (message.role === 'tool' && message.call.tool === tool ? [message] : []))
  const call = (tool: string, file: string): Call => ({ id: `${tool} ${file}`, tool, file })

  const [listed] = results('list')
  if (listed === undefined) return { text: 'Let me see what there is.', calls: [{ id: 'list', tool: 'list' }] }
  const read = results('read')
  if (read.length === 0 && listed.result !== '') {
    return { text: 'I read all of them.', calls: listed.result.split('\n').map((file) => call('read', file)) }
  }
  const drafts = read.filter(({ result }) => result.startsWith('DRAFT'))
  const tried = results('delete')
  if (tried.length < drafts.length) {
    return { text: 'These are drafts.', calls: drafts.map((draft) => call('delete', draft.call.file!)) }
  }
  const deleted = tried.filter(({ result }) => result === 'deleted').length
  return { text: `Of ${read.length} files ${drafts.length} were drafts; ${deleted} are deleted.`, calls: [] }
}

export const agent = agentWith('agent', tidy)
