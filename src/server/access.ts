/**
 * Who asks, and what they may do.
 *
 * T1. Tokens are compared by their digests, all of them each time: how long it takes tells nothing of them.
 * T2. The cookie of a session holds no token, but what only who has the token can make. It outlives a restart.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { InvalidInputError } from '../core/errors.js'

/** Each may do what those before it may. */
export const roles = ['view', 'operate', 'admin'] as const
export type Role = (typeof roles)[number]

/** By token: what its bearer may do, and the name under which that goes on record. */
export type Tokens = Readonly<Record<string, Role | { readonly role: Role; readonly name: string }>>

export interface Who {
  readonly role: Role
  /** As it goes on record: `local`, the name of a token, or a mark that tells one token from another. */
  readonly actor: string
}

export const sessionCookie = 'stet_session'
const sessionSeconds = 12 * 3600
const minTokenLength = 16

interface Known {
  readonly who: Who
  readonly digest: Buffer
  readonly session: string
  readonly sessionDigest: Buffer
}

const digestOf = (value: string) => createHash('sha256').update(value).digest()

export class Access {
  /** Null: no tokens; whoever comes is local. */
  readonly #known: readonly Known[] | null

  /** @throws InvalidInputError */
  constructor(tokens: Tokens | null) {
    this.#known = tokens === null ? null : Object.entries(tokens).map(([token, given]) => knownOf(token, given))
  }

  /** Null: nobody that is known. */
  who(headers: Headers): Who | null {
    if (this.#known === null) return { role: 'operate', actor: 'local' }
    const authorization = headers.get('authorization')
    // A wrong token is told, also where a session would do.
    if (authorization !== null) {
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
      return token === undefined ? null : (this.#byToken(token)?.who ?? null)
    }
    const session = cookieOf(headers.get('cookie') ?? '', sessionCookie)
    return session === null ? null : (find(this.#known, digestOf(session), 'sessionDigest')?.who ?? null)
  }

  /** Null: the token is not known. `cookie` null: none is needed. */
  begin(token: string, secure: boolean): { who: Who; cookie: string | null } | null {
    if (this.#known === null) return { who: { role: 'operate', actor: 'local' }, cookie: null }
    const known = this.#byToken(token)
    if (known === undefined) return null
    return { who: known.who, cookie: cookieText(known.session, sessionSeconds, secure) }
  }

  end(secure: boolean): string {
    return cookieText('', 0, secure)
  }

  #byToken(token: string): Known | undefined {
    return find(this.#known ?? [], digestOf(token), 'digest')
  }
}

export function mayDo(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed)
}

/**
 * Tokens as a variable or an option of a command gives them: with commas between them, each with its role before it
 * (`view:…`), admin unless it has one.
 * @throws InvalidInputError
 * @example parseTokens('view:3f1c…,operate:9ab0…', 'STET_DASHBOARD_TOKEN')
 */
export function parseTokens(given: string, what: string): Tokens {
  const parts = given.split(',').filter((part) => part.trim() !== '')
  if (parts.length === 0) throw new InvalidInputError(`${what}: expected a token, got none.`)
  return Object.fromEntries(
    parts.map((part) => {
      const at = part.indexOf(':')
      const role = at < 0 ? 'admin' : part.slice(0, at).trim()
      if (!roles.includes(role as Role)) {
        throw new InvalidInputError(`${what}: expected one of ${roles.join(', ')} before the token, got another word.`)
      }
      const token = part.slice(at + 1).trim()
      checkToken(token, what)
      return [token, role as Role]
    }),
  )
}

function knownOf(token: string, given: Tokens[string]): Known {
  checkToken(token, 'tokens')
  const mark = `token-${digestOf(`mark of ${token}`).toString('hex').slice(0, 8)}`
  const { role, name } = typeof given === 'string' ? { role: given, name: mark } : given
  if (!roles.includes(role)) {
    throw new InvalidInputError(`tokens: role: expected one of ${roles.join(', ')}, got ${String(role)}.`)
  }
  const session = createHmac('sha256', token).update('session of the stet dashboard').digest('base64url')
  return { who: { role, actor: name }, digest: digestOf(token), session, sessionDigest: digestOf(session) }
}

/** Never says the token itself: messages end in logs. */
function checkToken(token: string, what: string): void {
  if (token.length >= minTokenLength && /^[\x21-\x2b\x2d-\x7e]+$/.test(token)) return
  throw new InvalidInputError(
    `${what}: expected a token of at least ${minTokenLength} characters without spaces and commas, got one of ${token.length}. Make one: openssl rand -hex 24`,
  )
}

function find(known: readonly Known[], digest: Buffer, field: 'digest' | 'sessionDigest'): Known | undefined {
  let found: Known | undefined
  // To the end, whatever was found (T1).
  for (const each of known) if (timingSafeEqual(each[field], digest)) found = each
  return found
}

function cookieOf(header: string, name: string): string | null {
  for (const part of header.split(';')) {
    const at = part.indexOf('=')
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim()
  }
  return null
}

function cookieText(value: string, seconds: number, secure: boolean): string {
  return `${sessionCookie}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}${secure ? '; Secure' : ''}`
}
