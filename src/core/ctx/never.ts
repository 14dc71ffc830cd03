/** How a caller that came outside its turn is parked: `execution.ts`, E4. */
export function never(): Promise<never> {
  return new Promise(() => {})
}
