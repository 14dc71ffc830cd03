import { parseJson } from '../../../../core/json.ts'

/** What somebody has typed, as JSON. @throws Error that says what is wrong with it */
export function typedJson(text: string, what: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    throw new Error(`${what}: expected JSON (texts in double quotes). ${(error as Error).message}`)
  }
}
