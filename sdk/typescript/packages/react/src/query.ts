// TanStack Query: its cache has the pages that were read, the timeline has the log. Pages feed the timeline, and the rows are
// drawn from that alone; live messages are never written into pages, where a page under way would overwrite them.

import {
  infiniteQueryOptions,
  type QueryClient,
  type QueryKey,
  type UseQueryOptions,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import type { Client, DataOf, Message, PublishOptions, Receipt, Timeline, TimelineView } from '@trunkline/client'
import { useEffect, useRef } from 'react'
import { useChannel, useStore } from './hooks.js'
import { useClient } from './provider.js'

/** What the cache has of a page: how far it goes. */
export interface HistoryPage {
  lo: number
  hasOlder: boolean
}

/** The pages that a timeline was fed with, by what they were asked with. */
const fed = new WeakMap<Timeline, Map<string, HistoryPage>>()

/** The past of a channel, from the newest page down. `generation` is that of its timeline. */
export function historyQueryOptions(client: Client, name: string, generation = 0) {
  const timeline = client.channel(name).timeline()
  return infiniteQueryOptions({
    queryKey: ['trunkline', 'history', name, generation] as const,
    queryFn: async ({ signal, pageParam }): Promise<HistoryPage> => {
      const pages = fed.get(timeline) ?? new Map<string, HistoryPage>()
      fed.set(timeline, pages)
      const asked = `${generation} ${pageParam}`
      const known = pages.get(asked)
      const held = timeline.get()
      // A page that is read again is there already, unless it was forgotten since.
      if (known && held.loaded && held.lo <= known.lo) return known
      const { lo, hasOlder } = await timeline.loadOlder(signal)
      pages.set(asked, { lo, hasOlder })
      return { lo, hasOlder }
    },
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ lo, hasOlder }) => {
      if (hasOlder) return lo
      // What was forgotten is there to be read again.
      const held = timeline.get()
      return held.loaded && held.hasOlder ? held.lo : undefined
    },
    staleTime: Number.POSITIVE_INFINITY,
  })
}

/** A channel's log, whose pages are read by TanStack Query: `fetchNextPage` reads the one below. */
export function useInfiniteHistory<Name extends string>(name: Name) {
  const client = useClient()
  const { channel, status } = useChannel(name)
  const timeline = channel.timeline()
  const view: TimelineView<DataOf<Name>> = useStore(timeline)
  const query = useInfiniteQuery(historyQueryOptions(client, name, view.generation))
  // A cache that was kept or sent along knows how far pages go, and has no messages.
  const { refetch, isSuccess, isFetching } = query
  const isEmpty = isSuccess && !isFetching && !view.loaded
  useEffect(() => {
    if (isEmpty) void refetch()
  }, [isEmpty, refetch])
  return { ...view, status, query, timeline }
}

/** Publishes to a channel; the answer is its place. It waits for a line by itself, so it is never paused. */
export function usePublishMutation<Name extends string>(name: Name) {
  const client = useClient()
  return useMutation<Receipt, Error, { data: DataOf<Name>; options?: PublishOptions }>({
    mutationKey: ['trunkline', 'publish', name],
    networkMode: 'always',
    mutationFn: ({ data, options }) => client.channel(name).publish(data, options),
  })
}

/** Whatever is published in a channel makes queries stale: `toKeys` says which. Until the returned function is called. */
export function bindInvalidation<Name extends string>(
  queryClient: QueryClient,
  client: Client,
  name: Name,
  toKeys: (message: Message<DataOf<Name>>) => readonly QueryKey[],
): () => void {
  const invalidate = (queryKey: QueryKey) => void queryClient.invalidateQueries({ queryKey })
  return client.channel(name).subscribe(
    (message) => toKeys(message).forEach(invalidate),
    // What was missed may have been about any of them.
    ({ type }) => type !== 'recovered' && void queryClient.invalidateQueries(),
  )
}

/**
 * A query that a channel keeps up to date: each message is applied to what the cache has. A message may be in what was
 * fetched already, so `apply` has to bear one twice: set, do not add.
 */
export function useLiveQuery<Data, Name extends string>(
  options: UseQueryOptions<Data> & {
    channel: Name
    apply: (data: Data, message: Message<DataOf<Name>>) => Data
  },
) {
  const { channel, apply, ...query } = options
  const queryClient = useQueryClient()
  // What is fetched before the channel is live, or while a message comes, may lack that message: it is fetched once more.
  const isStale = useRef(false)
  const { status } = useChannel(channel, {
    onMessage: (message) => {
      if (queryClient.isFetching({ queryKey: query.queryKey }) > 0) isStale.current = true
      queryClient.setQueryData<Data>(query.queryKey, (data) => (data === undefined ? data : apply(data, message)))
    },
    onNotice: ({ type }) => {
      if (type !== 'recovered') void queryClient.invalidateQueries({ queryKey: query.queryKey })
    },
  })
  const result = useQuery(query)
  const { fetchStatus, refetch } = result
  const isLive = status.state === 'live'
  useEffect(() => {
    if (!isLive) isStale.current = true
    else if (fetchStatus === 'idle' && isStale.current) {
      isStale.current = false
      void refetch()
    }
  }, [isLive, fetchStatus, refetch])
  return result
}
