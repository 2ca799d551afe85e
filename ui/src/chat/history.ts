// The stored past of a channel through TanStack Query: offsets are the page params, and each page feeds the
// timeline, from which alone the rows are drawn. Live messages are never written into these pages.

import { infiniteQueryOptions } from '@tanstack/react-query'
import type { Channel } from '../trunkline'

export function history(seat: string, channel: Channel, generation: number) {
  return infiniteQueryOptions({
    queryKey: ['history', seat, channel.name, generation],
    queryFn: ({ signal }) => channel.older(signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: () => (channel.timeline.hasOlder ? channel.timeline.lo : undefined),
  })
}
