// @vitest-environment jsdom
// The hooks, each against what went wrong elsewhere: double subscriptions, callbacks that grow old, messages that get lost
// between renders, flicker.

import { act, cleanup, render, renderHook, screen } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { afterEach, expect, test, vi } from 'vitest'
import { got, inWorld, LOBBY, line } from '../../client/test/help.js'
import * as hooks from '../src/index.js'

const { TrunklineProvider, useChannel, useConnection, useMessages } = hooks

afterEach(() => {
  cleanup()
  vi.useRealTimers()
})

/** A world, and what puts components into it. */
function stage(strict = false) {
  const all = inWorld()
  const wrapper = ({ children }: { children: ReactNode }) => {
    const inside = <TrunklineProvider client={all.client}>{children}</TrunklineProvider>
    return strict ? <StrictMode>{inside}</StrictMode> : inside
  }
  const pass = (ms: number) => act(() => all.world.pass(ms))
  return { ...all, wrapper, pass }
}

test('StrictMode subscribes once, and opens one line', async () => {
  const { world, wrapper, pass } = stage(true)
  renderHook(() => useChannel(LOBBY), { wrapper })
  await pass(3_000)
  expect(world.sockets).toHaveLength(1)
  expect(got(world, 'connect')).toHaveLength(1)
  expect(got(world, 'subscribe').length + got(world, 'unsubscribe').length).toBe(0)
})

test('another callback at each render does not subscribe again, and the newest is called', async () => {
  const { world, server, wrapper, pass } = stage()
  const heard: string[] = []
  const { rerender } = renderHook(
    ({ name }) => useChannel(LOBBY, { onMessage: (message) => heard.push(`${name} ${message.data}`) }),
    { wrapper, initialProps: { name: 'first' } },
  )
  await pass(10)
  for (const name of ['second', 'third', 'fourth']) rerender({ name })
  await act(async () => void server.append('x'))
  await pass(10)
  expect(heard).toEqual(['fourth x'])
  expect(got(world, 'subscribe').length + got(world, 'unsubscribe').length).toBe(0)
})

test('a thousand messages in one task are a thousand calls and two renders at most', async () => {
  const { server, wrapper, pass } = stage()
  let calls = 0
  let renders = 0
  const { result } = renderHook(
    () => {
      renders += 1
      useChannel(LOBBY, { onMessage: () => (calls += 1) })
      return useMessages(LOBBY)
    },
    { wrapper },
  )
  await pass(1_000)
  const before = renders
  await act(async () => {
    for (let i = 0; i < 1_000; i += 1) server.append(i)
  })
  await pass(1_000)
  expect(calls).toBe(1_000)
  expect(renders - before).toBeLessThanOrEqual(2)
  expect(result.current.messages).toHaveLength(1_000)
})

test('a component that is gone leaves its channel within two seconds', async () => {
  const { world, wrapper, pass } = stage()
  const { unmount } = renderHook(() => useChannel(LOBBY), { wrapper })
  await pass(10)
  const socket = line(world)
  vi.useFakeTimers()
  unmount()
  await act(() => world.pass(2_000))
  expect(socket.received.filter((frame) => frame.type === 'unsubscribe')).toHaveLength(1)
  vi.advanceTimersByTime(2_000)
  expect(world.sockets).toHaveLength(0)
})

test('the log is loaded, what comes is added, what is written is shown at once', async () => {
  const { server, wrapper, pass } = stage()
  for (let i = 1; i <= 120; i += 1) server.append(i)
  const { result } = renderHook(() => useMessages(LOBBY), { wrapper })
  expect(result.current).toMatchObject({ messages: [], loaded: false })
  await pass(100)
  expect(result.current).toMatchObject({ loaded: true, hasOlder: true, isLoading: false, lo: 71 })
  await act(async () => void result.current.loadOlder())
  await pass(100)
  expect(result.current.lo).toBe(21)
  server.refuse = ({ type }) => (type === 'publish' ? 'silence' : undefined)
  act(() => void result.current.send('mine'))
  await pass(100)
  expect(result.current.drafts).toMatchObject([{ data: 'mine', state: 'sending' }])
  server.refuse = undefined
  await act(async () => void server.append('theirs'))
  await pass(100)
  expect(result.current.messages.at(-1)?.data).toBe('theirs')
})

test('a past that may not be read is asked for once, and once more when a line is back', async () => {
  const { world, server, wrapper, pass } = stage()
  let asked = 0
  server.refuse = ({ type }) => {
    if (type !== 'history') return undefined
    asked += 1
    return { type: 'error', code: 'forbidden', message: 'no' }
  }
  const { result } = renderHook(() => useMessages(LOBBY), { wrapper })
  await pass(1_000)
  for (let i = 0; i < 20; i += 1) await pass(100)
  expect([asked, result.current.error?.message, result.current.loaded]).toEqual([1, 'no', false])
  server.refuse = undefined
  world.drop()
  await pass(5_000)
  await pass(100)
  expect(result.current).toMatchObject({ loaded: true, error: undefined })
})

test('who is there does not flicker over a short drop', async () => {
  const { world, wrapper, pass } = stage()
  const seen: number[] = []
  renderHook(() => seen.push(hooks.usePresence(LOBBY).members.length), { wrapper })
  await pass(10)
  const set = [
    { client: 'a', user: 'ann' },
    { client: 'b', user: 'bob' },
  ]
  line(world).push({ type: 'presence', channel: LOBBY, set, gone: [], count: 2, all: true })
  await pass(100)
  world.drop()
  await pass(3_000)
  expect(seen.slice(seen.indexOf(2))).not.toContain(0)
})

test('a banner is shown when the line was down for five seconds, not before', async () => {
  vi.useFakeTimers()
  const { world, server, wrapper, client } = stage()
  vi.setSystemTime(world.now)
  const { result } = renderHook(() => useConnection(), { wrapper })
  const pass = (ms: number) =>
    act(async () => {
      await world.pass(ms)
      await vi.advanceTimersByTimeAsync(ms)
    })
  await pass(100)
  server.up = false
  world.drop()
  await pass(4_000)
  expect(result.current).toMatchObject({ showBanner: false })
  await pass(2_000)
  expect(result.current).toMatchObject({ showBanner: true, everOnline: true })
  server.up = true
  act(() => result.current.retryNow())
  await pass(100)
  expect(result.current).toMatchObject({ state: 'online', showBanner: false })
  client.disconnect()
})

test('a value, a map, a series and what is unread', async () => {
  const { world, server, wrapper, pass } = stage()
  const all = renderHook(
    () => ({
      value: hooks.useValue('value:price'),
      map: hooks.useMap('map:desk'),
      series: hooks.useSeries(LOBBY, 3),
      unread: hooks.useUnread(LOBBY),
    }),
    { wrapper },
  )
  const kinds: Record<string, string> = { 'value:price': 'value', 'map:desk': 'map' }
  server.refuse = ({ type, channel }) => {
    const kind = kinds[String(channel)]
    return type === 'subscribe' && kind
      ? { type: 'subscribed', channel, kind, epoch: 'e1', offset: 0, floor: 1, entries: [], can: [] }
      : undefined
  }
  await pass(100)
  line(world).push({ type: 'message', channel: 'value:price', offset: 1, data: 42, ts: 1 })
  line(world).push({ type: 'message', channel: 'map:desk', offset: 1, entry: 'lamp', data: 'on', ts: 1 })
  await act(async () => {
    for (let i = 1; i <= 5; i += 1) server.append(i)
  })
  await pass(100)
  await act(() => new Promise((resolve) => setTimeout(resolve, 40)))
  expect(all.result.current.value).toBe(42)
  expect(all.result.current.map.get('lamp')?.data).toBe('on')
  expect(all.result.current.series.map((message) => message.data)).toEqual([3, 4, 5])
  expect(all.result.current.unread.unread).toBe(5)
  act(() => all.result.current.unread.markRead())
  expect(all.result.current.unread.unread).toBe(0)
})

test('what a server renders is what the first render of a page shows', () => {
  const { client } = stage()
  const Page = () => {
    const { messages, loaded } = useMessages(LOBBY)
    const { state } = useConnection()
    return (
      <p>
        {state} {messages.length} {String(loaded)}
      </p>
    )
  }
  const page = (
    <TrunklineProvider client={client}>
      <Page />
    </TrunklineProvider>
  )
  const rendered = renderToString(page)
  const root = document.createElement('div')
  root.innerHTML = rendered
  document.body.append(root)
  const errors: unknown[] = []
  const said = vi.spyOn(console, 'error').mockImplementation((error) => errors.push(error))
  render(page, { container: root, hydrate: true })
  said.mockRestore()
  expect(errors).toEqual([])
  expect(screen.getByText(/0 false/)).toBeDefined()
})

test('without a provider it says what is missing', () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  expect(() => renderHook(() => useConnection())).toThrow(/TrunklineProvider/)
  said.mockRestore()
})
