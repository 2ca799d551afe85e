// The frames that have gone over a person's wire, the newest kept, and a pulse for each message.

import { Cell } from '../store'

export interface Frame {
  number: number
  direction: 'in' | 'out'
  at: number
  text: string
}

const KEPT = 200
const MESSAGE = /^\{[^{]*"type":\s*"(message|publish)"/

export class Frames {
  readonly all = new Cell<readonly Frame[]>([])
  #count = 0
  #pulses = new Set<() => void>()

  add(direction: 'in' | 'out', text: string): void {
    this.#count += 1
    const frame = { number: this.#count, direction, at: Date.now(), text }
    this.all.set([...this.all.get(), frame].slice(-KEPT))
    if (direction === 'in' && MESSAGE.test(text)) for (const pulse of this.#pulses) pulse()
  }

  pulses = (onPulse: () => void): (() => void) => {
    this.#pulses.add(onPulse)
    return () => this.#pulses.delete(onPulse)
  }
}
