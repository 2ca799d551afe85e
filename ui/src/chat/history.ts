// The stored past of a channel through TanStack Query: offsets are the page params, and each page feeds the
// timeline, from which alone the rows are drawn. Live messages are never written into these pages.

import { infiniteQueryOptions } from '@tanstack/react-query'
import type { Timeline } from '@trunkline/client'

export function history(seat: string, channel: string, timeline: Timeline, generation: number) {
  return infiniteQueryOptions({
    queryKey: ['history', seat, channel, generation],
    queryFn: async ({ signal }) => {
      const { lo, hasOlder } = await timeline.loadOlder(signal)
      return { lo, hasOlder }
    },
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ lo, hasOlder }) => (hasOlder ? lo : undefined),
  })
}
