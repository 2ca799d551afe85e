// A value that can be watched. Fits `useSyncExternalStore`, Svelte, Vue and Solid.

export interface Store<Value> {
  get(): Value
  /** Calls `listener` after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void
}

export class Cell<Value> implements Store<Value> {
  #value: Value
  #listeners = new Set<() => void>()

  constructor(value: Value) {
    this.#value = value
  }

  get = (): Value => this.#value

  set(value: Value): void {
    if (Object.is(value, this.#value)) return
    this.#value = value
    // One that throws keeps nothing from the others.
    for (const listener of [...this.#listeners]) call(listener)
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

/** Calls what belongs to the application. What it throws is reported as if nobody had called it. */
export function call<Arguments extends unknown[]>(listener: (...given: Arguments) => void, ...given: Arguments): void {
  try {
    listener(...given)
  } catch (error) {
    setTimeout(() => {
      throw error
    })
  }
}
