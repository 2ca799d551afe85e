// One room as one person sees it: the timeline's view, its pages, and what can be done.

import { useInfiniteQuery } from '@tanstack/react-query'
import type { Message } from '@trunkline/client'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { history } from './history'
import type { ChatPayload } from './payload'
import { rowsOf } from './rows'
import type { Seat } from './seat'
import { useNow } from './useNow'
import { useStore } from './useStore'

const KEPT_ROWS = 300
const A_DAY_MAY_HAVE_ENDED = 60_000

export function useChat(seat: Seat, name: string, channelName: string) {
  const { id, client, memory } = seat
  const channel = useMemo(() => seat.room(channelName), [seat, channelName])
  const timeline = channel.timeline()
  useEffect(() => channel.subscribe(), [channel])

  const view = useStore(timeline)
  const connection = useStore(client.connection)
  const me = client.me.user
  const query = useInfiniteQuery(history(id, channelName, timeline, view.generation))
  const { refetch, fetchNextPage, isFetching, isError } = query

  // A page that failed while the line was down is asked for again when it is up, once: pages may fail for
  // reasons of their own.
  const online = connection.state === 'online'
  const again = useCallback(
    () => void (view.loaded ? fetchNextPage() : refetch()),
    [view.loaded, fetchNextPage, refetch],
  )
  const onUp = useRef<() => void>(undefined)
  onUp.current = isError ? again : undefined
  useEffect(() => {
    if (online) onUp.current?.()
  }, [online])

  const isMine = useCallback((message: Message) => message.from !== undefined && message.from === me, [me])
  const now = useNow(A_DAY_MAY_HAVE_ENDED, true)
  const rows = useMemo(() => rowsOf(view, isMine, now), [view, isMine, now])

  const typed = useTyped(memory, channelName)
  const [full, setFull] = useState(false)
  const send = (text: string) => {
    const payload: ChatPayload = { type: 'chat', text, name }
    const taken = timeline.post(payload) !== undefined
    setFull(!taken)
    return taken
  }
  const actions = {
    retry: (draft: string) => timeline.retry(draft),
    takeBack: (draft: string) => {
      const taken = timeline.discard(draft)?.data as Partial<ChatPayload> | undefined
      typed.set([taken?.text ?? '', typed.text].filter((part) => part !== '').join('\n'))
    },
  }
  const canLoad = view.loaded && view.hasOlder && !isFetching && !isError
  const loadOlder = useMemo(() => (canLoad ? () => void fetchNextPage() : undefined), [canLoad, fetchNextPage])
  const forgetOld = useCallback(() => timeline.trim(KEPT_ROWS), [timeline])
  return { channel, view, connection, query, rows, typed, send, full, actions, loadOlder, forgetOld, again }
}

/** The text being typed, kept at every keystroke. */
function useTyped(memory: Seat['memory'], channel: string) {
  const [text, setText] = useState(() => memory.typed(channel))
  const set = (next: string) => {
    setText(next)
    memory.keepTyped(channel, next)
  }
  return { text, set }
}
