/**
 * Shapes of what comes in and goes out: JSON Schema, as it stands in the OpenAPI document, with the type of its values
 * beside it. One thing, so that what is documented is what is checked.
 */
import { durationMs } from '../core/duration.js'
import { InvalidInputError } from '../core/errors.js'
import { checkName } from '../core/ids.js'
import type { Duration } from '../core/types.js'

export interface JsonSchema {
  readonly $ref?: string
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'null'
  readonly enum?: readonly string[]
  /** `date-time`; `name`: 1 to 255 bytes without control characters; `duration`: ms, or a number with a unit. */
  readonly format?: string
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: JsonSchema
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly default?: unknown
  readonly description?: string
}

declare const of: unique symbol
export type Schema<T> = JsonSchema & { readonly [of]?: T }
export type Of<S> = S extends Schema<infer T> ? T : never

type Fields = Readonly<Record<string, Schema<any>>>
type Values<F extends Fields> = { readonly [K in keyof F]: Of<F[K]> }

const about = (description: string | undefined) => (description === undefined ? {} : { description })

export const text = (description?: string, maxLength = 10_000): Schema<string> => ({
  ...{ type: 'string', maxLength },
  ...about(description),
})
export const name = (description?: string): Schema<string> => ({
  type: 'string',
  format: 'name',
  ...about(description),
})
export const date = (description?: string): Schema<string> => ({
  ...{ type: 'string', format: 'date-time' },
  ...about(description),
})
export const flag = (description?: string): Schema<boolean> => ({ type: 'boolean', ...about(description) })
export const anything = (description?: string): Schema<unknown> => about(description)
export const integer = (minimum: number, maximum: number, description?: string): Schema<number> => ({
  ...{ type: 'integer', minimum, maximum },
  ...about(description),
})
export const number = (description?: string): Schema<number> => ({ type: 'number', ...about(description) })
export const duration = (description?: string): Schema<Duration> => ({
  ...{ anyOf: [{ type: 'number' }, { type: 'string' }], format: 'duration' },
  ...about(description),
})
export const choice = <const T extends string>(values: readonly T[], description?: string): Schema<T> => ({
  ...{ type: 'string', enum: values },
  ...about(description),
})
export const list = <T>(items: Schema<T>, maxItems: number, description?: string): Schema<readonly T[]> => ({
  ...{ type: 'array', items, maxItems },
  ...about(description),
})
export const either = <A, B>(a: Schema<A>, b: Schema<B>, description?: string): Schema<A | B> => ({
  anyOf: [a, b],
  ...about(description),
})
export const orNull = <T>(schema: Schema<T>): Schema<T | null> => ({ anyOf: [schema, { type: 'null' }] })
export const record = <T>(values: Schema<T>, description?: string): Schema<Readonly<Record<string, T>>> => ({
  ...{ type: 'object', additionalProperties: values },
  ...about(description),
})

/** Fields that must be there, and fields that may. Others are refused. */
export function object<R extends Fields, O extends Fields = Record<never, never>>(
  required: R,
  optional?: O,
  description?: string,
): Schema<Values<R> & Partial<Values<O>>> {
  return {
    type: 'object',
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false,
    ...about(description),
  }
}

/** Where a schema refers to others by name. */
export type Shapes = Readonly<Record<string, JsonSchema>>

const refPrefix = '#/components/schemas/'
export const refTo = (shape: string): JsonSchema => ({ $ref: refPrefix + shape })

/**
 * Checks a value that was parsed from JSON.
 * @throws InvalidInputError naming the place, what was expected there, and what was got
 */
export function check(schema: JsonSchema, value: unknown, where: string, shapes: Shapes = {}): void {
  if (schema.$ref !== undefined) {
    check(shapes[schema.$ref.slice(refPrefix.length)]!, value, where, shapes)
    return
  }
  if (schema.anyOf !== undefined) {
    const fits = schema.anyOf.some((each) => passes(each, value, where, shapes))
    if (!fits) refuse(where, schema.anyOf.map(expected).join(', or '), value)
  }
  if (schema.type !== undefined && !hasType(schema.type, value)) refuse(where, expected(schema), value)
  if (schema.format === 'duration') durationMs(value as Duration, where)
  if (typeof value === 'string') checkText(schema, value, where)
  else if (typeof value === 'number') {
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema
    if (value < minimum || value > maximum) refuse(where, expected(schema), value)
  } else if (Array.isArray(value)) {
    if (value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY)) {
      throw new InvalidInputError(`${where}: expected at most ${schema.maxItems} items, got ${value.length}.`)
    }
    if (schema.items !== undefined) {
      for (const [i, item] of value.entries()) check(schema.items, item, `${where}[${i}]`, shapes)
    }
  } else if (typeof value === 'object' && value !== null && schema.type === 'object') {
    checkObject(schema, value as Record<string, unknown>, where, shapes)
  }
}

function checkText(schema: JsonSchema, value: string, where: string): void {
  if (schema.format === 'name') checkName(value, where)
  if (schema.enum !== undefined && !schema.enum.includes(value)) refuse(where, expected(schema), value)
  if (schema.format === 'date-time' && !isDate(value)) refuse(where, expected(schema), value)
  if (value.length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) {
    throw new InvalidInputError(`${where}: expected at most ${schema.maxLength} characters, got ${value.length}.`)
  }
}

function checkObject(schema: JsonSchema, value: Record<string, unknown>, where: string, shapes: Shapes): void {
  const { properties = {}, required = [], additionalProperties = true } = schema
  const missing = required.find((key) => !Object.hasOwn(value, key))
  if (missing !== undefined) throw new InvalidInputError(`${where}: expected a field "${missing}", which is missing.`)
  for (const [key, each] of Object.entries(value)) {
    const own = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (own !== undefined) check(own, each, `${where}.${key}`, shapes)
    else if (typeof additionalProperties === 'object') check(additionalProperties, each, `${where}.${key}`, shapes)
    else if (!additionalProperties) {
      throw new InvalidInputError(
        `${where}: no field "${key.slice(0, 60)}" is known here; those that are: ${Object.keys(properties).join(', ') || 'none'}.`,
      )
    }
  }
}

function passes(schema: JsonSchema, value: unknown, where: string, shapes: Shapes): boolean {
  try {
    check(schema, value, where, shapes)
    return true
  } catch {
    return false
  }
}

function hasType(type: NonNullable<JsonSchema['type']>, value: unknown): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return type === 'integer' ? Number.isSafeInteger(value) : typeof value === type
}

/** The database knows no other years. */
function isDate(value: string): boolean {
  return /^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(Date.parse(value))
}

function expected({ type, enum: values, minimum, maximum, format }: JsonSchema): string {
  if (values !== undefined) return `one of ${values.join(', ')}`
  if (format === 'date-time') return 'a date and time (2026-01-31T12:00:00Z)'
  if (minimum !== undefined && maximum !== undefined) return `a whole number from ${minimum} to ${maximum}`
  const said = {
    string: 'text',
    object: 'an object',
    array: 'a list',
    integer: 'a whole number',
    boolean: 'true or false',
  }
  return type === undefined ? 'another value' : ((said as Record<string, string>)[type] ?? `a ${type}`)
}

function refuse(where: string, what: string, value: unknown): never {
  const got = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
  const shown = typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value).slice(0, 60) : got
  throw new InvalidInputError(`${where}: expected ${what}, got ${shown}.`)
}

/**
 * What stands in a URL, as the value that the schema asks for: numbers, flags, lists with commas, objects as JSON.
 * @throws InvalidInputError
 */
export function fromText(schema: JsonSchema, texts: readonly string[], where: string): unknown {
  if (schema.type === 'array') return texts.flatMap((each) => each.split(',')).filter((each) => each !== '')
  const last = texts.at(-1)!
  if (texts.length > 1) throw new InvalidInputError(`${where}: expected it once, got it ${texts.length} times.`)
  if (schema.type === 'integer' || schema.type === 'number') return /^-?\d{1,15}$/.test(last) ? Number(last) : last
  if (schema.type === 'boolean') return /^(1|true)$/.test(last) ? true : /^(0|false)$/.test(last) ? false : last
  if (schema.type !== 'object') return last
  try {
    return JSON.parse(last)
  } catch {
    throw new InvalidInputError(`${where}: expected an object as JSON.`)
  }
}
