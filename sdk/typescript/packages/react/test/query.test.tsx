// @vitest-environment jsdom
// The bindings for TanStack Query.

import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { act, cleanup, renderHook } from '@testing-library/react'
import type { ReactNode } from 'react'
import { afterEach, expect, test } from 'vitest'
import { inWorld, LOBBY } from '../../client/test/help.js'
import { TrunklineProvider } from '../src/index.js'
import {
  bindInvalidation,
  historyQueryOptions,
  useInfiniteHistory,
  useLiveQuery,
  usePublishMutation,
} from '../src/query.js'

afterEach(cleanup)

function stage() {
  const all = inWorld()
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={queries}>
      <TrunklineProvider client={all.client}>{children}</TrunklineProvider>
    </QueryClientProvider>
  )
  /** TanStack Query tells in a task of the real world. */
  const pass = (ms: number) =>
    act(async () => {
      await all.world.pass(ms)
      await new Promise((resolve) => setTimeout(resolve, 5))
      await all.world.pass(1)
    })
  return { ...all, queries, wrapper, pass }
}

test('pages are read one below the other, and live messages come to none of them', async () => {
  const { server, queries, wrapper, pass } = stage()
  for (let i = 1; i <= 120; i += 1) server.append(i)
  const { result } = renderHook(
    () => {
      const history = useInfiniteHistory(LOBBY)
      // A query tells of what was looked at.
      return { ...history, hasNextPage: history.query.hasNextPage }
    },
    { wrapper },
  )
  await pass(100)
  expect(result.current).toMatchObject({ lo: 71, head: 120, hasOlder: true })
  await act(async () => void result.current.query.fetchNextPage())
  await pass(100)
  await act(async () => void server.append('live'))
  await pass(100)
  await act(async () => void result.current.query.fetchNextPage())
  await pass(100)
  expect(result.current).toMatchObject({ lo: 1, head: 121, hasOlder: false })
  expect(result.current.messages).toHaveLength(121)
  expect(result.current.hasNextPage).toBe(false)
  const cached = queries.getQueryData(historyQueryOptions(inWorld().client, LOBBY).queryKey)
  expect(cached?.pages).toEqual([
    { lo: 71, hasOlder: true },
    { lo: 21, hasOlder: true },
    { lo: 1, hasOlder: false },
  ])
})

test('a message that comes while a page is under way is not lost', async () => {
  const { world, server, wrapper, pass } = stage()
  for (let i = 1; i <= 100; i += 1) server.append(i)
  const { result } = renderHook(() => useInfiniteHistory(LOBBY), { wrapper })
  await pass(100)
  world.latency = [50, 50]
  await act(async () => void result.current.query.fetchNextPage())
  await act(async () => void server.append('meanwhile'))
  await pass(500)
  expect(result.current.messages.map((message) => message.data).slice(-2)).toEqual([100, 'meanwhile'])
  expect(result.current.lo).toBe(1)
})

test('publishing is a mutation that waits for a line by itself', async () => {
  const { server, wrapper, pass } = stage()
  server.up = false
  const { result } = renderHook(() => usePublishMutation(LOBBY), { wrapper })
  await act(async () => void result.current.mutate({ data: 'x' }))
  await pass(10_000)
  expect(result.current.isPending).toBe(true)
  server.up = true
  await pass(30_000)
  expect(result.current.data).toMatchObject({ offset: 1 })
})

test('what is published makes queries stale', async () => {
  const { server, client, queries, wrapper, pass } = stage()
  let fetched = 0
  const queryFn = async () => (fetched += 1)
  renderHook(() => useQuery({ queryKey: ['orders', 7], queryFn }), { wrapper })
  const leave = bindInvalidation(queries, client, LOBBY, (message) => [['orders', message.data]])
  await pass(100)
  server.append(8)
  await pass(100)
  expect(fetched).toBe(1)
  server.append(7)
  await pass(100)
  expect(fetched).toBe(2)
  leave()
})

test('a live query applies what comes to what was fetched', async () => {
  const { server, wrapper, pass } = stage()
  const { result } = renderHook(
    () =>
      useLiveQuery({
        queryKey: ['count'],
        queryFn: async () => 40,
        channel: LOBBY,
        apply: (_before: number, message) => Number(message.data),
      }),
    { wrapper },
  )
  await pass(100)
  expect(result.current.data).toBe(40)
  await act(async () => void server.append(42))
  await pass(100)
  expect(result.current.data).toBe(42)
})

test('a cache that came without messages is filled, and pages that are read again double nothing', async () => {
  const { server, client, queries, wrapper, pass } = stage()
  for (let i = 1; i <= 150; i += 1) server.append(i)
  const { queryKey } = historyQueryOptions(client, LOBBY)
  queries.setQueryData(queryKey, { pages: [{ lo: 101, hasOlder: true }], pageParams: [undefined] })
  const { result } = renderHook(() => useInfiniteHistory(LOBBY), { wrapper })
  await pass(100)
  await pass(100)
  expect(result.current).toMatchObject({ lo: 101, head: 150, loaded: true })
  await act(async () => void queries.invalidateQueries({ queryKey }))
  await pass(100)
  expect(result.current.messages).toHaveLength(50)
})
