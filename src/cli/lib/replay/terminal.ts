/** A replay that is stepped through in a terminal. */
import { createInterface, type Interface } from 'node:readline'
import { stepPlaces } from '../../../debug/step-places.js'
import type { MomentView } from '../../../debug/view.js'
import { clean, cleanLines, out, paint, paintTalk, say } from '../term.js'
import { type Replayer, type ReplaySpec, startReplayer } from './replayer.js'
import { liveText, momentText, openedText } from './screen.js'

const help = `  n, Enter, →   next event            b, ←        back
  g 12          to event 12           s charge    to where step "charge" settles; s charge#2
  f             to the first failure  0, e        to the start, to the end
  l             hide or show the variables of functions that wait
  r             read the code again and replay with it
  q             quit`

/** Resolves with whether the code fits the history, when the user quits. */
export async function stepThrough(spec: ReplaySpec, replayer: Replayer, at: string | undefined): Promise<boolean> {
  return new TerminalSession(spec, replayer).run(at)
}

class TerminalSession {
  readonly #spec: ReplaySpec
  #replayer: Replayer
  #seq = 1
  #waiting = true
  #last = 'n'

  constructor(spec: ReplaySpec, replayer: Replayer) {
    this.#spec = spec
    this.#replayer = replayer
  }

  async run(at: string | undefined): Promise<boolean> {
    const reader = createInterface({ input: process.stdin, output: process.stdout, prompt: '' })
    try {
      out(this.#opened())
      await this.#command(at ?? (this.#replayer.opened.view.blockage === null ? '0' : 'e'))
      await this.#talk(reader)
    } finally {
      reader.close()
      await this.#replayer.close()
    }
    return this.#replayer.opened.view.blockage === null
  }

  /** Reads commands until the user quits or the terminal is gone. */
  #talk(reader: Interface): Promise<void> {
    return new Promise((resolve) => {
      const prompt = () => {
        reader.setPrompt(paint('dim', `${this.#seq}/${this.#view.events} `) + paint('bold', 'stet> '))
        reader.prompt()
      }
      const perform = async (line: string) => {
        if (/^(q|quit|exit)$/.test(line)) return resolve()
        try {
          await this.#command(line)
        } catch (error) {
          say(`${paintTalk('red', 'stet:')} ${cleanLines((error as Error).message)}`)
        }
        prompt()
      }
      // Whoever types ahead gets one after the other.
      let before: Promise<void> = Promise.resolve()
      const soon = (line: string) => {
        before = before.then(() => perform(line))
      }
      reader.on('line', (line) => soon(line.trim()))
      reader.on('close', () => resolve())
      reader.on('SIGINT', () => resolve())
      // Arrows on an empty line; with text on it they move the cursor.
      process.stdin.on('keypress', (_text, key: { name?: string } | undefined) => {
        const command = key?.name === 'right' ? 'n' : key?.name === 'left' ? 'b' : null
        if (reader.line !== '' || command === null) return
        out('')
        soon(command)
      })
      prompt()
    })
  }

  get #view() {
    return this.#replayer.opened.view
  }

  /** The last event that there is something to show of: that which does not fit, if there is one. */
  get #lastSeq(): number {
    const { blockage, events, fits } = this.#view
    return blockage === null ? events : fits + 1
  }

  #opened(): string {
    const { run, events } = this.#spec.history
    const { file } = this.#replayer.opened
    const header = `${paint('bold', `replay of ${clean(run.id)}`)}  ${clean(run.workflow)}@${run.version} (${clean(file)}), ${events.length} events. No step runs${this.#spec.live.length === 0 ? '' : ` but ${this.#spec.live.map((name) => `"${clean(name)}"`).join(', ')}`}, nothing is written. h: help`
    return [openedText(this.#view, header), ...liveText(this.#view)].join('\n')
  }

  async #command(line: string): Promise<void> {
    const [, name = '', rest = ''] = /^(\S*)\s*(.*)$/.exec(line === '' ? this.#last : line)!
    const { events, firstFailure } = this.#view
    if (/^(n|next|b|back|p)$/.test(name)) this.#last = name
    if (/^\d+$/.test(name) && name !== '0') return this.#command(`g ${name}`)
    switch (name) {
      case 'n':
      case 'next':
        if (this.#seq >= this.#lastSeq) return say(this.#atEnd())
        return this.#show(this.#seq + 1)
      case 'b':
      case 'back':
      case 'p':
        if (this.#seq <= 1) return say('this is the first event')
        return this.#show(this.#seq - 1)
      case '0':
        return this.#show(1)
      case 'e':
      case 'end':
        return this.#show(this.#lastSeq)
      case 'g':
      case 'go': {
        const seq = Number(rest)
        if (!Number.isInteger(seq) || seq < 1 || seq > events) return say(`g: expected an event from 1 to ${events}`)
        return this.#show(seq)
      }
      case 's':
      case 'step': {
        const key = rest.replace(/^["']|["']$/g, '')
        const steps = stepPlaces(this.#spec.history.events)
        const there = steps.filter((step) => step.key === key || step.key.startsWith(`${key}#`))
        if (there.length === 0) {
          const keys = steps.slice(0, 20).map(({ key }) => clean(key))
          return say(`no event settles "${clean(key)}"; there are ${keys.join(', ')}${steps.length > 20 ? ', …' : ''}`)
        }
        return this.#show((there.find(({ seq }) => seq > this.#seq) ?? there[0]!).seq)
      }
      case 'f':
      case 'failure':
        return firstFailure === null ? say('nothing failed in this history') : this.#show(firstFailure)
      case 'l':
        this.#waiting = !this.#waiting
        return this.#show(this.#seq)
      case 'r':
      case 'reload':
        return this.#reload()
      case 'h':
      case 'help':
      case '?':
        return say(help)
      default:
        return say(`"${clean(name)}" is no command\n${help}`)
    }
  }

  #atEnd(): string {
    const { blockage, outcome } = this.#view
    return blockage !== null
      ? 'the code does not fit the history any further'
      : outcome === null
        ? 'the history ends here'
        : 'this is the last event'
  }

  async #show(seq: number): Promise<void> {
    const moment: MomentView = await this.#replayer.at(seq)
    this.#seq = moment.seq
    out(`\n${momentText(moment, { width: process.stdout.columns || 100, waiting: this.#waiting })}`)
  }

  /** The same history against the code as it is now; the first difference, if there is one. */
  async #reload(): Promise<void> {
    const starting = startReplayer(this.#spec.workflows)
    const before = this.#replayer
    try {
      this.#replayer = await starting.open(this.#spec)
    } catch (error) {
      await starting[Symbol.asyncDispose]()
      throw error
    }
    await before.close()
    out(this.#opened())
    await this.#show(this.#view.blockage === null ? this.#seq : this.#lastSeq)
  }
}
