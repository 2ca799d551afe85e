// The client that components use, and the line that is open as long as there are any.

import type { Client } from '@trunkline/client'
import { createContext, createElement, type ReactNode, useContext, useEffect } from 'react'

const Context = createContext<Client | undefined>(undefined)

/** How long after the last provider is gone the line is closed: a page that mounts twice opens one. In ms. */
const LINGER = 1_000

const users = new WeakMap<Client, { count: number; timer?: ReturnType<typeof setTimeout> }>()

/** Gives `client` to all below, and keeps its line open. */
export function TrunklineProvider({ client, children }: { client: Client; children?: ReactNode }) {
  useEffect(() => {
    const known = users.get(client) ?? { count: 0 }
    users.set(client, known)
    known.count += 1
    clearTimeout(known.timer)
    client.connect()
    return () => {
      known.count -= 1
      if (known.count === 0) known.timer = setTimeout(() => client.disconnect(), LINGER)
    }
  }, [client])
  return createElement(Context.Provider, { value: client }, children)
}

/** The client of the nearest provider. */
export function useClient(): Client {
  const client = useContext(Context)
  if (!client) throw new Error('There is no <TrunklineProvider client={…}> above this component.')
  return client
}
