/** What gives way under many steps at once is not the stack. */
import { describe, expect, it } from 'vitest'
import { StepSlots } from '../../src/worker/attempts.js'

describe('step slots', () => {
  it('hand on 100,000 bodies that are over at once, in order, never more than the limit', () => {
    const slots = new StepSlots(2)
    const order: number[] = []
    let most = 0
    slots.take(() => {})
    slots.take(() => {})
    for (let i = 0; i < 100_000; i++) {
      slots.take(() => {
        most = Math.max(most, slots.used)
        order.push(i)
        slots.release()
      })
    }
    expect(order).toEqual([])
    slots.release()
    expect(order.length).toBe(100_000)
    expect(order.every((n, i) => n === i)).toBe(true)
    expect(most).toBe(2)
    slots.release()
    expect(slots.used).toBe(0)
  })

  it('go on when a body throws as it begins', () => {
    const slots = new StepSlots(1)
    slots.take(() => {})
    slots.take(() => {
      slots.release()
      throw new Error('no')
    })
    const begun: string[] = []
    slots.take(() => {
      begun.push('next')
    })
    expect(() => slots.release()).toThrow('no')
    slots.take(() => {
      begun.push('later')
    })
    expect(begun).toEqual(['next'])
    slots.release()
    expect(begun).toEqual(['next', 'later'])
  })
})
