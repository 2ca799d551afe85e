// A network that can be made worse on purpose, between the client and the browser's own sockets. It adds
// delay and outages; it never changes, reorders or drops a frame of a line that stays up.

import type { Host } from '@trunkline/client'
import { Cell } from '../store'

export class Faults {
  readonly state = new Cell({ offline: false, delay: 0 })

  host(): Partial<Host> {
    const faults = this
    return {
      WebSocket: class {
        constructor(url: string, protocols: string[]) {
          // biome-ignore lint/correctness/noConstructorReturn: the wrapper stands for the socket it wraps.
          return faultySocket(faults, url, protocols)
        }
      } as unknown as Host['WebSocket'],
      fetch: async (url, init) => {
        if (faults.state.get().offline) throw new TypeError('The network is switched off.')
        await pause(faults.state.get().delay)
        return fetch(url, init)
      },
      isOnline: () => navigator.onLine && !faults.state.get().offline,
    }
  }
}

function faultySocket(faults: Faults, url: string, protocols: string[]): WebSocket {
  if (faults.state.get().offline) throw new Error('The network is switched off.')
  const real = new WebSocket(url, protocols)
  const inward = delayed(() => faults.state.get().delay)
  const outward = delayed(() => faults.state.get().delay)
  const shown = {
    get readyState() {
      return real.readyState
    },
    send: (text: string) => outward(() => real.readyState === 1 && real.send(text)),
    close: () => real.close(),
    onopen: null as null | (() => void),
    onmessage: null as null | ((event: MessageEvent) => void),
    onclose: null as null | ((event: CloseEvent) => void),
  }
  real.onopen = () => shown.onopen?.()
  real.onmessage = (event) => inward(() => shown.onmessage?.(event))
  real.onclose = (event) => inward(() => shown.onclose?.(event))
  return shown as unknown as WebSocket
}

/** Runs each after the delay of its time, and never before the one that came first. */
function delayed(delay: () => number): (run: () => void) => void {
  let free = 0
  return (run) => {
    const now = performance.now()
    const at = Math.max(free, now + delay())
    if (at <= now) run()
    else {
      free = at
      setTimeout(run, at - now)
    }
  }
}

const pause = (ms: number) => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined)
