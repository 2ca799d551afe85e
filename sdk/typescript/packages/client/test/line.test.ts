// The line: attempts, waits, tokens, silence, and the ends that are for good.

import { expect, test, vi } from 'vitest'
import { LIMITS } from '../src/limits.js'
import type { ConnectionState } from '../src/types.js'
import { got, heard, inWorld, LOBBY, line } from './help.js'

test('whoever follows a channel opens the line', async () => {
  const { world, client, channel } = inWorld()
  expect(client.connection.get()).toMatchObject({ state: 'idle', everOnline: false })
  channel.subscribe()
  await world.pass(10)
  expect(client.connection.get()).toMatchObject({ state: 'online', everOnline: true, attempt: 0, rtt: 0 })
  expect(channel.status.get().state).toBe('live')
  expect(client.me).toEqual({ client: 'guest-s1', user: 'guest-s1' })
})

test('all channels are gone on with in one frame', async () => {
  const { world, client } = inWorld()
  for (let i = 0; i < 50; i += 1) client.channel(`chat:${i}`).subscribe()
  await world.pass(10)
  expect(got(world, 'connect')).toHaveLength(1)
  expect(got(world, 'subscribe')).toHaveLength(0)
  world.server.append('x')
  world.drop()
  await world.pass(5_000)
  const [connect] = got(world, 'connect')
  expect(Object.keys(connect?.subscribe as object)).toHaveLength(50)
  expect(connect?.session).toBe('s1')
})

test('what does not fit into one frame is asked for behind it', async () => {
  const { world, client } = inWorld()
  const names = Array.from({ length: 400 }, (_, i) => `chat:${i}-${'x'.repeat(100)}`)
  for (const name of names) client.channel(name).subscribe()
  await world.pass(10)
  const [connect] = got(world, 'connect')
  expect(JSON.stringify(connect).length).toBeLessThan(64 << 10)
  const first = Object.keys(connect?.subscribe as object)
  const rest = got(world, 'subscribe').map((frame) => String(frame.channel))
  expect(new Set([...first, ...rest])).toEqual(new Set(names))
  expect(rest.length).toBeGreaterThan(100)
})

test('attempts are spread with full jitter under a growing cap', async () => {
  const { world, client } = inWorld()
  world.server.up = false
  const waits: number[] = []
  client.connection.subscribe(() => {
    const { state, retryAt } = client.connection.get()
    if (state === 'waiting' && retryAt) waits.push(retryAt - world.now)
  })
  client.connect()
  await world.pass(300_000)
  const caps = [500, 1_000, 2_000, 4_000, 8_000, 16_000]
  for (const [i, cap] of caps.entries()) expect(waits[i]).toBeLessThan(cap)
  expect(Math.max(...waits)).toBeLessThan(LIMITS.backoffMax)
  expect(new Set(waits.map((wait) => Math.round(wait))).size).toBeGreaterThan(10)
})

test('the first attempt after a good session is spread as the server asks', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(LIMITS.steady + 1)
  world.drop()
  await world.pass(0)
  const { state, retryAt } = client.connection.get()
  expect(state).toBe('waiting')
  expect((retryAt as number) - world.now).toBeLessThanOrEqual(100)
})

test('a server that names a time to wait is obeyed, up to a limit', async () => {
  const { world, server, client } = inWorld()
  const wait = async (retry: number) => {
    server.refuse = (frame) => {
      if (frame.type !== 'connect') return undefined
      world.after(1, () => world.drop(4529))
      return { type: 'error', code: 'limit_exceeded', message: 'full', retry }
    }
    client.connect()
    await world.pass(5)
    const { state, retryAt, error } = client.connection.get()
    expect(state).toBe('waiting')
    expect(error).toMatchObject({ code: 'limit_exceeded', retryAfter: retry })
    client.disconnect()
    return (retryAt as number) - world.now
  }
  expect(await wait(7_000)).toBeGreaterThan(6_900)
  expect(await wait(1e9)).toBeLessThanOrEqual(LIMITS.retryMax)
})

test.each([4401, 4403, 4409, 1002, 1009])('after close code %i it does not come back by itself', async (code) => {
  const { world, client, channel } = inWorld()
  channel.subscribe()
  await world.pass(10)
  world.drop(code)
  await world.pass(600_000)
  expect(client.connection.get().state).toBe('closed')
  await expect(channel.publish('x')).rejects.toMatchObject({ code: 'closed' })
  client.connect()
  await world.pass(10)
  expect(client.connection.get().state).toBe('online')
})

test('a zombie line is found out by silence, and at once when the machine wakes up', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(10)
  const dead = line(world)
  dead.isDead = true
  for (const wake of world.wakes) wake()
  await world.pass(LIMITS.probe + 2_000)
  expect(client.connection.get().state).toBe('online')
  expect(line(world)).not.toBe(dead)
  line(world).isDead = true
  await world.pass(25_000 + LIMITS.probe + 2_000)
  expect(client.connection.get().state).toBe('online')
  expect(world.sockets).toHaveLength(1)
})

test('waking up does not wait for the next attempt', async () => {
  const { world, server, client } = inWorld()
  server.up = false
  client.connect()
  await world.pass(120_000)
  expect(client.connection.get().state).toBe('waiting')
  server.up = true
  client.wake()
  await world.pass(0)
  expect(client.connection.get().state).toBe('online')
})

test('a server that ends is left at a random moment', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(10)
  const old = line(world)
  old.push({ type: 'goaway', within: 10_000, code: 4503 })
  await world.pass(1)
  expect(client.connection.get().state).toBe('online')
  await world.pass(10_000)
  expect(line(world)).not.toBe(old)
  expect(client.connection.get().state).toBe('online')
})

test('its heartbeats are answered', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(10)
  expect(got(world, 'connect')[0]?.heartbeat).toBe(true)
  line(world).push({ type: 'ping' })
  await world.pass(1)
  expect(got(world, 'pong')).toHaveLength(1)
})

test('a token is asked for at each attempt, one at a time, and renewed before its end', async () => {
  let count = 0
  const token = vi.fn(async () => `token-${++count}`)
  const { world, server, client } = inWorld({ token })
  server.refuse = (frame) => {
    if (frame.type === 'refresh') return { type: 'refreshed', expires: world.now + 600_000 }
    if (frame.type !== 'connect') return undefined
    return {
      type: 'welcome',
      client: 'c',
      user: 'ann',
      session: 's',
      ping: 25_000,
      spread: 0,
      ts: world.now,
      expires: world.now + 600_000,
    }
  }
  client.connect()
  await world.pass(10)
  expect(got(world, 'connect')[0]?.token).toBe('token-1')
  await world.pass(600_000 - LIMITS.renewal)
  expect(got(world, 'refresh')[0]?.token).toBe('token-2')
  await world.pass(600_000 - LIMITS.renewal)
  expect(got(world, 'refresh')).toHaveLength(2)
  world.drop(4501)
  await world.pass(30_000)
  expect(got(world, 'connect')[0]?.token).toBe('token-4')
  expect(token).toHaveBeenCalledTimes(4)
})

test('without a token to be had it tries again, and says why it is down', async () => {
  let works = false
  const token = async () => {
    if (!works) throw new Error('the login has expired')
    return 'x'
  }
  const { world, client } = inWorld({ token })
  client.connect()
  await world.pass(10)
  expect(client.connection.get()).toMatchObject({ state: 'waiting', error: { code: 'no_token' } })
  works = true
  await world.pass(60_000)
  expect(client.connection.get()).toMatchObject({ state: 'online', error: undefined })
})

test('a token that is always the same and has expired is for good', async () => {
  const { world, client } = inWorld({ token: 'old' })
  client.connect()
  await world.pass(10)
  world.drop(4501)
  await world.pass(60_000)
  expect(client.connection.get().state).toBe('closed')
  client.setToken('new')
  client.connect()
  await world.pass(10)
  expect(got(world, 'connect')[0]?.token).toBe('new')
})

test('a runtime without WebSocket is told so', () => {
  const { client, world } = inWorld({}, 1)
  expect(client.connection.get().state).toBe('idle')
  const none = inWorld({ host: { ...world.host(), WebSocket: undefined as never } })
  none.client.connect()
  expect(none.client.connection.get()).toMatchObject({ state: 'closed', error: { message: /no WebSocket/ } })
})

test('a server that does not speak the protocol is told from one that does', async () => {
  const { world, client } = inWorld()
  client.connect()
  Object.assign(world.sockets[0] as object, { protocol: '' })
  await world.pass(60_000)
  expect(client.connection.get()).toMatchObject({ state: 'closed', error: { message: /trunkline\.v1/ } })
})

test('disconnect is for as long as nobody connects', async () => {
  const { world, client, channel } = inWorld()
  const { data } = heard((listener) => channel.subscribe(listener))
  await world.pass(10)
  client.disconnect()
  channel.subscribe()
  await world.pass(60_000)
  expect(client.connection.get().state).toBe('idle')
  expect(world.wakes.size).toBe(0)
  world.server.append('meanwhile')
  client.connect()
  await world.pass(10)
  expect(data()).toEqual(['meanwhile'])
})

test('an rpc is answered, refused, or open when the line is lost', async () => {
  const { world, server, client } = inWorld()
  server.refuse = ({ type, method }) => {
    if (type !== 'rpc') return undefined
    if (method === 'add') return { type: 'result', data: 3 }
    return method === 'never' ? 'silence' : { type: 'error', code: 'not_found', message: 'no' }
  }
  const add = client.rpc('add', [1, 2])
  await world.pass(10)
  expect(await add).toBe(3)
  const lost = client.rpc('never').catch((error: unknown) => error)
  const refused = client.rpc('nope').catch((error: unknown) => error)
  await world.pass(10)
  world.drop()
  await world.pass(10)
  expect(await refused).toMatchObject({ code: 'not_found' })
  expect(await lost).toMatchObject({ code: 'connection_lost' })
})

test('a page that was asked for is asked for again on the next line', async () => {
  const { world, server, client } = inWorld()
  server.append('one')
  client.connect()
  await world.pass(10)
  line(world).isDead = true
  const page = client.history(LOBBY)
  await world.pass(60_000)
  expect((await page).items.map((message) => message.data)).toEqual(['one'])
})

test('every state is told in its order', async () => {
  const { world, client } = inWorld()
  const states: ConnectionState[] = []
  client.connection.subscribe(() => {
    const { state } = client.connection.get()
    if (states.at(-1) !== state) states.push(state)
  })
  client.connect()
  await world.pass(6_000)
  world.online = false
  world.drop()
  await world.pass(2_000)
  client.disconnect()
  expect(states).toEqual(['connecting', 'online', 'offline', 'connecting', 'online', 'idle'])
})
