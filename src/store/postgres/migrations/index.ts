import { m0001 } from './m0001.js'
import { m0002 } from './m0002.js'
import { m0003 } from './m0003.js'
import { m0004 } from './m0004.js'
import { m0005 } from './m0005.js'
import { m0006 } from './m0006.js'
import { m0007 } from './m0007.js'
import { m0008 } from './m0008.js'
import { m0009 } from './m0009.js'
import { m0010 } from './m0010.js'
import { m0011 } from './m0011.js'
import { m0012 } from './m0012.js'

/** In order; the place in this list, from 1, is the migration's number. Forward only: a released one never changes. */
export const migrations: readonly string[] = [
  ...[m0001, m0002, m0003, m0004, m0005, m0006],
  ...[m0007, m0008, m0009, m0010, m0011, m0012],
]
