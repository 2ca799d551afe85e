// A store of the client as React state.

import type { Store } from '@trunkline/client'
import { useSyncExternalStore } from 'react'

export function useStore<T>(store: Pick<Store<T>, 'get' | 'subscribe'>): T {
  return useSyncExternalStore(store.subscribe, store.get)
}
