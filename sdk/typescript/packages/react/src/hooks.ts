// What components read and do. Each follows its channel for as long as it is mounted; a channel that several follow is
// subscribed to once.

import type {
  Channel,
  ChannelOptions,
  ChannelStatus,
  Connection,
  DataOf,
  Draft,
  Json,
  Member,
  Message,
  Notice,
  Receipt,
  Store,
  Timeline,
  TimelineView,
} from '@trunkline/client'
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { useClient } from './provider.js'

/** A store of the client as React state. */
export function useStore<Value>(store: Pick<Store<Value>, 'get' | 'subscribe'>): Value {
  return useSyncExternalStore(store.subscribe, store.get, store.get)
}

/** After so long a lost line is worth a word to the user. In ms. */
const QUIET = 5_000

/** How the line stands. `showBanner` is true when it has been down for 5 s, is offline, or is closed for good. */
export function useConnection(): Connection & { showBanner: boolean; retryNow: () => void } {
  const client = useClient()
  const connection = useStore(client.connection)
  const { state, since } = connection
  const isDown = state === 'connecting' || state === 'waiting'
  const [late, setLate] = useState<number>()
  useEffect(() => {
    if (!isDown) return undefined
    const timer = setTimeout(() => setLate(since), Math.max(0, since + QUIET - Date.now()))
    return () => clearTimeout(timer)
  }, [isDown, since])
  const showBanner = state === 'offline' || state === 'closed' || (isDown && late === since)
  const retryNow = useCallback(() => (state === 'closed' ? client.connect() : client.wake()), [client, state])
  return { ...connection, showBanner, retryNow }
}

/** The newest version of a callback, behind one that never changes. */
function useLatest<Callback extends ((...given: never[]) => void) | undefined>(callback: Callback) {
  const latest = useRef(callback)
  useEffect(() => {
    latest.current = callback
  })
  return latest
}

export interface UseChannelOptions<Data> extends ChannelOptions {
  /** Called for each message, once. It may be another function at each render. */
  onMessage?: (message: Message<Data>) => void
  onNotice?: (notice: Notice) => void
  /** `false`: the channel is not followed. */
  enabled?: boolean
}

/** Follows a channel. */
export function useChannel<Name extends string>(
  name: Name,
  options: UseChannelOptions<DataOf<Name>> = {},
): { channel: Channel<DataOf<Name>>; status: ChannelStatus } {
  const { onMessage, onNotice, enabled = true, ...rest } = options
  const client = useClient()
  const channel = client.channel(name, rest)
  const [message, notice] = [useLatest(onMessage), useLatest(onNotice)]
  useEffect(() => {
    if (!enabled) return undefined
    return channel.subscribe(
      (given) => message.current?.(given),
      (given) => notice.current?.(given),
    )
  }, [channel, enabled, message, notice])
  return { channel, status: useStore(channel.status) }
}

export interface Messages<Data> extends Omit<TimelineView<Data>, 'generation'> {
  status: ChannelStatus
  /** Writes a message: a draft at once, a message when the log has it. `undefined`: too many wait. */
  send: (data: Data) => Draft<Data> | undefined
  retry: (draft: string) => void
  discard: (draft: string) => Draft<Data> | undefined
  /** Loads the page below. */
  loadOlder: () => Promise<void>
  isLoading: boolean
  /** Why the last page could not be loaded. */
  error?: Error
  edit: (message: Message, data: Data) => Promise<Receipt>
  remove: (message: Message) => Promise<Receipt>
  react: (message: Message, reaction: string) => Promise<Receipt>
  unreact: (message: Message, reaction: string) => Promise<Receipt>
}

/** A channel's log: the newest page is loaded, what comes is added, and what is written is shown at once. */
export function useMessages<Name extends string>(name: Name, options?: ChannelOptions): Messages<DataOf<Name>> {
  const { channel, status } = useChannel(name, options)
  const timeline: Timeline<DataOf<Name>> = channel.timeline()
  const { generation, ...view } = useStore(timeline)
  const [pages, setPages] = useState<{ of: unknown; isLoading: boolean; error?: Error }>({
    of: timeline,
    isLoading: false,
  })
  // Once for each log, also when all that was held had to be dropped; and once more when a line is back after a failure.
  const asked = useRef<{ timeline: unknown; generation: number; failed: boolean }>(undefined)
  const loadOlder = useCallback(async () => {
    setPages({ of: timeline, isLoading: true })
    try {
      await timeline.loadOlder()
      setPages({ of: timeline, isLoading: false })
    } catch (error) {
      if (asked.current) asked.current.failed = true
      setPages({ of: timeline, isLoading: false, error: error as Error })
    }
  }, [timeline])
  const isLive = status.state === 'live'
  const wasLive = useRef(isLive)
  useEffect(() => {
    const isBack = isLive && !wasLive.current
    wasLive.current = isLive
    const { current } = asked
    const isAsked = current?.timeline === timeline && current.generation === generation
    if (view.loaded || (isAsked && !(isBack && current.failed))) return
    asked.current = { timeline, generation, failed: false }
    void loadOlder()
  }, [timeline, generation, view.loaded, loadOlder, isLive])
  const { isLoading, error } = pages.of === timeline ? pages : { isLoading: false, error: undefined }
  const { post: send, retry, discard, edit, remove, react, unreact } = timeline
  return { ...view, isLoading, error, status, send, retry, discard, loadOlder, edit, remove, react, unreact }
}

/** Follows a channel, and who is there. Asked for before it is subscribed to. */
function usePlace(name: string) {
  const { presence } = useClient().channel(name)
  useChannel(name)
  return presence
}

/** Who is in a channel, this client included; and what to say of oneself there. */
export function usePresence(name: string): { members: readonly Member[]; setState: (state: Json) => void } {
  const presence = usePlace(name)
  const setState = useCallback((state: Json) => presence.set(state), [presence])
  return { members: useStore(presence.members), setState }
}

/** Everybody else in a channel, or what is selected of them. */
export function useOthers<Selected = readonly Member[]>(
  name: string,
  select: (others: readonly Member[]) => Selected = (others) => others as Selected,
): Selected {
  const client = useClient()
  const members = useStore(usePlace(name).members)
  const me = client.me.client
  return select(useMemo(() => members.filter((member) => member.client !== me), [members, me]))
}

/** How many are in a channel. */
export function usePresenceCount(name: string): number {
  return useStore(usePlace(name).count)
}

/** Who else is typing, and what to call at each keystroke. */
export function useTyping(name: string): { typing: readonly Member[]; setTyping: (isTyping?: boolean) => void } {
  const presence = usePlace(name)
  const setTyping = useCallback((isTyping?: boolean) => presence.setTyping(isTyping), [presence])
  return { typing: useStore(presence.typing), setTyping }
}

/** How many messages of others have come since it was looked at: since it was mounted, or `markRead` was called. */
export function useUnread(name: string): { unread: number; markRead: () => void } {
  const client = useClient()
  const [counted, setCounted] = useState({ name, unread: 0 })
  useChannel(name, {
    onMessage: ({ ref, from, offset }) => {
      if (ref !== undefined || offset === 0 || from === client.me.user) return
      setCounted((before) => ({ name, unread: (before.name === name ? before.unread : 0) + 1 }))
    },
  })
  const markRead = useCallback(() => setCounted({ name, unread: 0 }), [name])
  return { unread: counted.name === name ? counted.unread : 0, markRead }
}

/** What a value is now. */
export function useValue<Name extends string>(name: Name, options?: ChannelOptions): DataOf<Name> | undefined {
  return useStore(useChannel(name, options).channel.last)?.data
}

/** What the entries of a map are now. */
export function useMap<Name extends string>(
  name: Name,
  options?: ChannelOptions,
): ReadonlyMap<string, Message<DataOf<Name>>> {
  return useStore(useChannel(name, options).channel.entries)
}

/** The newest `length` messages, for a chart: renewed once per frame, however many come. */
export function useSeries<Name extends string>(name: Name, length = 500): readonly Message<DataOf<Name>>[] {
  const [series, setSeries] = useState<{ name: string; rows: readonly Message<DataOf<Name>>[] }>({ name, rows: [] })
  const waiting = useRef<Message<DataOf<Name>>[]>([])
  const frame = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(
    () => () => {
      clearTimeout(frame.current)
      frame.current = undefined
      if (name) waiting.current = []
    },
    [name],
  )
  useChannel(name, {
    onMessage: (message) => {
      waiting.current.push(message)
      if (waiting.current.length > length) waiting.current.shift()
      frame.current ??= setTimeout(() => {
        frame.current = undefined
        const came = waiting.current.splice(0)
        setSeries((before) => ({ name, rows: [...(before.name === name ? before.rows : []), ...came].slice(-length) }))
      }, 16)
    },
  })
  return series.name === name ? series.rows : []
}
