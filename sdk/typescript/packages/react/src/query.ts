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
import type { Client, DataOf, Draft, Message, PublishOptions, Receipt, TimelineView } from '@trunkline/client'
import { useChannel, useStore } from './hooks.js'
import { useClient } from './provider.js'

/** What the cache has of a page: how far it goes. */
export interface HistoryPage {
  lo: number
  hasOlder: boolean
}

/** The past of a channel, from the newest page down. `generation` is that of its timeline. */
export function historyQueryOptions(client: Client, name: string, generation = 0) {
  const timeline = client.channel(name).timeline()
  return infiniteQueryOptions({
    queryKey: ['trunkline', 'history', name, generation] as const,
    queryFn: async ({ signal }): Promise<HistoryPage> => {
      const { lo, hasOlder } = await timeline.loadOlder(signal)
      return { lo, hasOlder }
    },
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ lo, hasOlder }) => (hasOlder ? lo : undefined),
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

/** A query that a channel keeps up to date: each message is applied to what the cache has. */
export function useLiveQuery<Data, Name extends string>(
  options: UseQueryOptions<Data> & {
    channel: Name
    apply: (data: Data, message: Message<DataOf<Name>>) => Data
  },
) {
  const { channel, apply, ...query } = options
  const queryClient = useQueryClient()
  const refetch = () => void queryClient.invalidateQueries({ queryKey: query.queryKey })
  useChannel(channel, {
    onMessage: (message) => {
      // What is being fetched now may have been read before this message: it is fetched again.
      if (queryClient.isFetching({ queryKey: query.queryKey }) > 0) refetch()
      queryClient.setQueryData<Data>(query.queryKey, (data) => (data === undefined ? data : apply(data, message)))
    },
    onNotice: ({ type }) => type !== 'recovered' && refetch(),
  })
  return useQuery(query)
}

export type { Draft }
