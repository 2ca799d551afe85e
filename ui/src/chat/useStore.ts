// A store of the client as React state.

import { useSyncExternalStore } from 'react'
import type { Store } from '../trunkline'

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get)
}
