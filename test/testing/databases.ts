/** What tests of `stet/testing` run on, each test on both. */
import { inject } from 'vitest'
import type { TestOptions } from '../../src/testing/index.js'

type On = Pick<TestOptions, 'url'> & Required<Pick<TestOptions, 'database'>>

export const databases: readonly On[] = [{ database: 'postgres', url: inject('serverUrl') }, { database: 'memory' }]
