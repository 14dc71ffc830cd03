import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { InvalidInputError } from './errors.js'

/** Checks a value against a Standard Schema; returns what the schema makes of it. */
export async function validate(schema: Schema, value: unknown, what: string): Promise<unknown> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const issues = result.issues.slice(0, 10).map((issue) => {
    const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
    return `  ${path === '' ? '$' : `$.${path}`}: ${issue.message}`
  })
  throw new InvalidInputError(`${what} does not fit its schema:\n${issues.join('\n')}`, 'invalid_input')
}
