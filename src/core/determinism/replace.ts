/** Puts `replacement` where a global function was: same name, length and flags, with the statics it does not define. */
export function replace(owner: object, key: string, replacement: (...args: any[]) => any): void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, key)!
  imitate(descriptor.value, replacement)
  Object.defineProperty(owner, key, { ...descriptor, value: replacement })
}

/** Gives `copy` the name, length and static properties of `original`, where it has none of its own. */
export function imitate(original: object, copy: object): void {
  for (const key of Reflect.ownKeys(original)) {
    const descriptor = Object.getOwnPropertyDescriptor(original, key)!
    if (key === 'name' || key === 'length' || !Object.hasOwn(copy, key)) Object.defineProperty(copy, key, descriptor)
  }
}
