/** The OpenAPI document, made of the routes that serve. */
import type { Route } from './route.js'
import { type JsonSchema, refTo, type Shapes } from './schema.js'

export function openapiOf(routes: readonly Route[], shapes: Shapes, version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'stet',
      version,
      description: 'Runs of stet: what they do, why they are where they are, and what can be done about it.',
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: shapes,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'stet_session' },
      },
    },
  }
}

function operationOf(route: Route): object {
  const { method, path, role, summary, query, body, answer, produces } = route
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    ...{
      name,
      in: 'path',
      required: true,
      description: name === 'bulk' ? 'id of a bulk' : 'id (its latest run) or run id',
    },
    schema: { type: 'string' },
  }))
  const inQuery = Object.entries(query.properties ?? {}).map(([name, schema]) => parameterOf(name, schema, query))
  return {
    operationId:
      `${method.toLowerCase()}${path.replaceAll(/[^a-z]+([a-z])/gi, (_, letter) => letter.toUpperCase())}`.replaceAll(
        /\W/g,
        '',
      ),
    summary,
    ...(role === null ? { security: [] } : { security: [{ bearer: [] }, { session: [] }] }),
    'x-stet-role': role ?? 'anyone',
    parameters: [...inPath, ...inQuery],
    ...(body === null ? {} : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      200: { description: 'done', content: { [produces ?? 'application/json']: { schema: answer } } },
      default: { description: 'refused', content: { 'application/json': { schema: refTo('Error') } } },
    },
  }
}

function parameterOf(name: string, schema: JsonSchema, { required = [] }: JsonSchema): object {
  const { description, ...rest } = schema
  const known = {
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
  }
  if (schema.type === 'object') return { ...known, content: { 'application/json': { schema: rest } } }
  return { ...known, schema: rest, ...(schema.type === 'array' ? { style: 'form', explode: false } : {}) }
}
