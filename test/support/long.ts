/** `npm run chaos`: the long variants of what is random, or the same many times over. */
export const long = process.env.STET_CHAOS === 'long'
