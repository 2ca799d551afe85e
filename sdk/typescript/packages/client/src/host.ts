// What the world gives a client: sockets, time, chance, and news of the machine. A test brings a world of its own.

export interface Host {
  WebSocket: new (url: string, protocols: string[]) => WebSocket
  fetch: (url: string, init?: RequestInit) => Promise<Response>
  now(): number
  /** At least 0, less than 1. */
  random(): number
  /** Unguessable enough never to come again. */
  token(): string
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  isOnline(): boolean
  /** Calls `wake` when the machine or the page wakes up, or the network changes, until the returned function is called. */
  watch(wake: () => void): () => void
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'

/** The world of browsers, Node, Deno, Bun, workers and React Native: what each of them has of it. */
export function worldHost(): Host {
  return {
    WebSocket: globalThis.WebSocket,
    fetch: (url, init) => globalThis.fetch(url, init),
    now: Date.now,
    random: Math.random,
    token: () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => DIGITS[byte % 36]).join(''),
    setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer as number | undefined),
    isOnline: () => globalThis.navigator?.onLine !== false,
    watch: (wake) => {
      const page = globalThis.document
      const seen = () => page.visibilityState === 'visible' && wake()
      const events = ['pageshow', 'resume', 'online', 'offline']
      const { addEventListener: add, removeEventListener: remove } = globalThis
      for (const event of events) add?.(event, wake)
      page?.addEventListener?.('visibilitychange', seen)
      page?.addEventListener?.('resume', wake)
      return () => {
        for (const event of events) remove?.(event, wake)
        page?.removeEventListener?.('visibilitychange', seen)
        page?.removeEventListener?.('resume', wake)
      }
    },
  }
}
