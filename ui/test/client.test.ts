// The client on its line: greeting, reconnecting, stopping, publishing, fetching. Time is virtual.

import { describe, expect, test } from 'vitest'
import { backoff, Client, type ClientOptions, isFinal, LIMITS } from '../src/trunkline'
import { World } from './world'

const CHANNEL = 'chat:lobby'

function start(world = new World(), options: Partial<ClientOptions> = {}) {
  const client = new Client({ origin: 'http://x', host: world.host(), ...options })
  const channel = client.channel(CHANNEL)
  const close = channel.open()
  client.connect()
  const socket = () => world.sockets.at(-1)
  const types = () => socket()?.received.map((frame) => frame.type)
  return { world, client, channel, close, socket, types }
}

const texts = (channel: ReturnType<Client['channel']>) => channel.timeline.view().entries.map((entry) => entry.data)

describe('backoff', () => {
  test('is full jitter under a bound that doubles up to 20 s', () => {
    expect([0, 1, 2, 5, 6, 60].map((n) => backoff(n, 1))).toEqual([500, 1_000, 2_000, 16_000, 20_000, 20_000])
    expect(backoff(4, 0)).toBe(0)
    expect(backoff(1, 0.5)).toBe(500)
  })

  test('doubles while the server is away, and starts anew after a good session', async () => {
    const world = new World()
    world.host().random = () => 1
    const { client } = start(world, { host: { ...world.host(), random: () => 1 } })
    await world.pass(LIMITS.steady)
    world.server.up = false
    world.drop()
    const waits: number[] = []
    client.connection.subscribe(() => {
      const now = client.connection.get()
      if (now.state === 'waiting') waits.push(Math.round((now.retryAt ?? 0) - world.now))
    })
    await world.pass(10_000)
    // The first one is spread as the server asked.
    expect(waits.slice(0, 5)).toEqual([100, 1_000, 2_000, 4_000, 8_000])
    world.server.up = true
    await world.pass(20_000)
    expect(client.isOnline).toBe(true)
    world.drop()
    await world.pass(0)
    expect(waits.at(-1)).toBe(100)
  })

  test('goes on growing when sessions are short', async () => {
    const world = new World()
    const { client } = start(world, { host: { ...world.host(), random: () => 1 } })
    const waits: number[] = []
    client.connection.subscribe(() => {
      const now = client.connection.get()
      if (now.state === 'waiting') waits.push(Math.round((now.retryAt ?? 0) - world.now))
      if (now.state === 'online') world.after(100, () => world.drop())
    })
    await world.pass(10_000)
    expect(waits.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000])
  })

  test('what the server says wins', async () => {
    const { world, client, socket } = start()
    await world.pass(1)
    socket()?.push({ type: 'error', code: 'draining', retry: 7_000 })
    await world.pass(1)
    world.drop()
    await world.pass(1)
    const now = client.connection.get()
    expect(now.state === 'waiting' && Math.round((now.retryAt ?? 0) - world.now)).toBeGreaterThan(6_990)
  })
})

describe('close codes', () => {
  test.each([4400, 4401, 4403, 4409, 4413, 4426, 4499, 1002, 1003, 1007, 1009, 1010])('%d stops', (code) => {
    expect(isFinal(code)).toBe(true)
  })

  test.each([1000, 1001, 1005, 1006, 1008, 1011, 1012, 4000, 4500, 4501, 4503, 4508, 4529])('%d reconnects', (code) => {
    expect(isFinal(code)).toBe(false)
  })

  test('a stopped client stays away until it is told to start over', async () => {
    const { world, client, socket } = start()
    await world.pass(1)
    socket()?.cut(4409, 'replaced')
    await world.pass(60_000)
    expect(client.connection.get()).toMatchObject({ state: 'closed', code: 4409, reason: 'replaced' })
    client.wake()
    expect(world.sockets).toHaveLength(0)
    client.startOver()
    await world.pass(1)
    expect(socket()?.received[0]).toEqual({ type: 'connect', id: expect.any(Number) })
    expect(client.isOnline).toBe(true)
  })
})

describe('the line', () => {
  test('is greeted, and the session is kept for the next one', async () => {
    const kept: string[] = []
    const { world, client, socket, types } = start(new World(), { onSession: (session) => kept.push(session) })
    await world.pass(1)
    expect(types()).toEqual(['connect', 'subscribe'])
    expect(client.who.get().user).toBe('guest-s1')
    world.drop()
    await world.pass(2_000)
    expect(socket()?.received[0]).toMatchObject({ type: 'connect', session: 's1' })
    expect(kept).toEqual(['s1', 's1'])
  })

  test('a secret that the server refuses is let go', async () => {
    const world = new World()
    world.server.refuse = (frame) =>
      frame.type === 'connect' && frame.session ? { type: 'error', code: 'bad_request' } : undefined
    const { client } = start(world, { session: 'forged' })
    await world.pass(2_000)
    expect(client.isOnline).toBe(true)
  })

  test('continues from its position', async () => {
    const { world, channel, socket } = start()
    world.server.append('one')
    void channel.older()
    await world.pass(1)
    world.drop()
    world.server.append('two')
    await world.pass(2_000)
    expect(socket()?.received[1]).toMatchObject({ type: 'subscribe', since: { epoch: 'e1', offset: 1 } })
    expect(texts(channel)).toEqual(['one', 'two'])
  })

  test('a silent line is asked, and dropped if it does not answer', async () => {
    const { world, client, types, socket } = start()
    await world.pass(1)
    await world.pass(26_000)
    expect(types()).toContain('ping')
    expect(client.isOnline).toBe(true)
    const dead = socket()
    dead?.world.server.refuse === undefined && Object.assign(dead as object, { push: () => undefined })
    await world.pass(60_000)
    expect(socket()).not.toBe(dead)
    expect(client.isOnline).toBe(true)
  })

  test('waking asks an open line at once, and ends the wait of a lost one', async () => {
    const { world, client, types } = start()
    await world.pass(10)
    client.wake()
    await world.pass(1)
    expect(types()).toContain('ping')
    world.server.up = false
    world.drop()
    await world.pass(30_000)
    world.server.up = true
    client.wake()
    await world.pass(1)
    expect(client.isOnline).toBe(true)
  })

  test('says offline when the machine is', async () => {
    const { world, client } = start()
    await world.pass(1)
    world.online = false
    world.server.up = false
    world.drop()
    await world.pass(1_000)
    expect(['offline', 'connecting']).toContain(client.connection.get().state)
  })

  test('a welcome that never comes is not waited for', async () => {
    const world = new World()
    world.server.refuse = () => ({ type: 'nothing' })
    Object.assign(world.server, { take: () => undefined })
    const { client } = start(world)
    await world.pass(LIMITS.patience)
    expect(client.connection.get().state).not.toBe('online')
    expect(client.connection.get().state).toBe('waiting')
  })

  test('answers a ping, and leaves when the server is about to end', async () => {
    const { world, client, socket, types } = start()
    await world.pass(1)
    socket()?.push({ type: 'ping' })
    await world.pass(1)
    expect(types()?.at(-1)).toBe('pong')
    const old = socket()
    old?.push({ type: 'goaway', within: 5_000 })
    await world.pass(5_001)
    expect(socket()).not.toBe(old)
    expect(client.isOnline).toBe(true)
  })

  test('frames that are no object are passed over', async () => {
    const { world, client, socket } = start()
    await world.pass(1)
    for (const data of ['nonsense', 'null', '3', '[]', '{"type":"odd"}']) socket()?.onmessage?.({ data })
    expect(client.isOnline).toBe(true)
  })
})

describe('channels', () => {
  test('opened, closed and opened again within a second: one subscribe', async () => {
    const { world, channel, close, types } = start()
    close()
    const again = channel.open()
    await world.pass(5_000)
    expect(types()?.filter((type) => type === 'subscribe')).toHaveLength(1)
    again()
    again()
    await world.pass(LIMITS.linger + 1)
    expect(types()?.at(-1)).toBe('unsubscribe')
  })

  test('a refusal that does not pass is told, one that passes is tried again', async () => {
    const world = new World()
    let code = 'not_available'
    world.server.refuse = (frame) =>
      frame.type === 'subscribe' && code ? { type: 'error', code, message: 'no', retry: undefined } : undefined
    const { channel, client } = start(world)
    await world.pass(1)
    expect(channel.status.get().state).toBe('subscribing')
    code = 'forbidden'
    await world.pass(2_000)
    expect(channel.status.get()).toMatchObject({ state: 'denied', error: { code: 'forbidden' } })
    code = ''
    client.drop()
    await world.pass(2_000)
    expect(channel.status.get().state).toBe('live')
  })

  test('a gap is filled by itself, also when the first pages fail', async () => {
    const { world, channel, socket } = start()
    await world.pass(1)
    for (let i = 1; i <= 120; i += 1) world.server.log.push({ offset: i, epoch: 'e1', ts: 0, data: i })
    world.pageLoss = 1
    socket()?.push({ type: 'message', channel: CHANNEL, offset: 121, ts: 0, data: 121 })
    world.server.log.push({ offset: 121, epoch: 'e1', ts: 0, data: 121 })
    await world.pass(2_000)
    expect(channel.timeline.head).toBe(0)
    world.pageLoss = 0
    await world.pass(20_000)
    expect(channel.timeline.head).toBe(121)
    expect(channel.status.get().state).toBe('live')
  })

  test('a thousand messages in one task: all of them, and two views', async () => {
    const { world, channel } = start()
    await world.pass(1_000)
    let views = 0
    channel.view.subscribe(() => {
      views += 1
    })
    for (let i = 0; i < 1_000; i += 1) world.server.append(i)
    await world.pass(1_000)
    expect(channel.view.get().entries).toHaveLength(1_000)
    expect(views).toBe(2)
  })

  test('a rewind that is told unasked is taken', async () => {
    const { world, channel, socket } = start()
    await world.pass(1)
    for (const text of ['a', 'b', 'c']) world.server.append(text)
    await world.pass(1)
    world.server.log.length = 2
    socket()?.push({
      type: 'subscribed',
      channel: CHANNEL,
      recovered: false,
      reason: 'rewound',
      keep: 2,
      offset: 2,
      epoch: 'e1',
      floor: 1,
    })
    await world.pass(100)
    expect(texts(channel)).toEqual(['a', 'b'])
  })
})

describe('publishing', () => {
  test('carries a key dated by the server, and data only', async () => {
    const world = new World()
    const { channel, socket } = start(world)
    await world.pass(1)
    channel.post({ type: 'chat', text: 'Hi' })
    await world.pass(1)
    const sent = socket()?.received.at(-1)
    expect(sent).toMatchObject({ type: 'publish', channel: CHANNEL, data: { type: 'chat', text: 'Hi' } })
    const [time, random] = String(sent?.key).split('-')
    expect(Math.abs(Number.parseInt(time ?? '', 36) - world.now)).toBeLessThan(5)
    expect(random).toBeTruthy()
  })

  test('what was not answered is sent again under the same key, and stored once', async () => {
    const { world, channel } = start()
    await world.pass(1)
    world.server.storing = 50
    channel.post('once')
    await world.pass(1)
    world.drop()
    await world.pass(5_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(['once'])
    expect(channel.timeline.drafts).toEqual([])
  })

  test('as another guest, what the log has already is not sent again', async () => {
    const { world, channel, client } = start()
    await world.pass(1)
    channel.post('once')
    // Stored, but neither the answer nor the broadcast arrives; and the secret is not accepted any more.
    Object.assign(world.sockets.at(-1) as object, { push: () => undefined })
    await world.pass(1)
    world.server.refuse = (frame) =>
      frame.type === 'connect' && frame.session === 's1' ? { type: 'error', code: 'bad_request' } : undefined
    world.drop()
    const stop = client.connection.subscribe(() => {
      if (!client.isOnline) return
      // Something is written before the replay has been read.
      stop()
      queueMicrotask(() => channel.post('then'))
    })
    await world.pass(5_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(['once', 'then'])
    expect(channel.timeline.drafts).toEqual([])
  })

  test('what is written without a line is sent when there is one, in order', async () => {
    const { world, channel } = start()
    await world.pass(1)
    world.server.up = false
    world.drop()
    for (let i = 0; i < 30; i += 1) channel.post(i)
    await world.pass(3_000)
    world.server.up = true
    await world.pass(30_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  test('rate limited: waits as told, then goes on in order', async () => {
    const { world, channel } = start()
    await world.pass(1)
    let refusals = 3
    world.server.refuse = (frame) =>
      frame.type === 'publish' && refusals-- > 0 ? { type: 'error', code: 'rate_limited', retry: 200 } : undefined
    channel.post('a')
    await world.pass(150)
    expect(world.server.log).toEqual([])
    channel.post('b')
    await world.pass(2_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(['a', 'b'])
  })

  test('a refusal stays visible with its reason; retry keeps the key, discard gives the text back', async () => {
    const { world, channel, socket } = start()
    await world.pass(1)
    world.server.refuse = (frame) =>
      frame.type === 'publish' ? { type: 'error', code: 'forbidden', message: 'no' } : undefined
    channel.post('a')
    await world.pass(1)
    const failed = channel.timeline.drafts[0]
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'forbidden', message: 'no' } })
    channel.retry(failed?.id ?? '')
    await world.pass(1)
    expect(socket()?.received.at(-1)?.key).toBe(failed?.key)
    expect(channel.discard(failed?.id ?? '')).toBe('a')
    expect(channel.timeline.drafts).toEqual([])
  })

  test('an expired key is replaced on retry', async () => {
    const { world, channel, socket } = start()
    await world.pass(1)
    world.server.refuse = (frame) => (frame.type === 'publish' ? { type: 'error', code: 'key_expired' } : undefined)
    channel.post('a')
    await world.pass(10)
    const first = socket()?.received.at(-1)?.key
    world.server.refuse = undefined
    channel.retry(channel.timeline.drafts[0]?.id ?? '')
    await world.pass(10)
    expect(socket()?.received.at(-1)?.key).not.toBe(first)
    expect(world.server.log).toHaveLength(1)
  })

  test('what is too large is refused before it is sent', async () => {
    const { world, channel, types } = start()
    await world.pass(1)
    channel.post('é'.repeat(8_200))
    await world.pass(1)
    expect(channel.timeline.drafts[0]).toMatchObject({ state: 'failed', error: { code: 'too_large' } })
    expect(types()).not.toContain('publish')
  })

  test('drafts are handed out to be kept, and taken up again by the next page', async () => {
    const world = new World()
    let kept: unknown
    const { channel, client } = start(world, { onDrafts: (_, drafts) => (kept = drafts) })
    await world.pass(1)
    world.server.storing = 50
    channel.post('a')
    await world.pass(1)
    const drafts = JSON.parse(JSON.stringify(kept))
    client.disconnect()
    await world.pass(100)
    const next = start(world, { session: 's1' })
    next.channel.restore(drafts)
    void next.channel.older()
    await world.pass(1_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(['a'])
    expect(next.channel.timeline.drafts).toEqual([])
  })

  test('after a refusal for the rate they go one by one, so that their order stays', async () => {
    const { world, channel } = start()
    await world.pass(1)
    let tokens = 3
    world.server.refuse = (frame) => {
      if (frame.type !== 'publish' || tokens-- > 0) return undefined
      // The bucket fills while the rest of the burst arrives.
      tokens = 1
      return { type: 'error', code: 'rate_limited', retry: 50 }
    }
    world.latency = [10, 10]
    for (let i = 0; i < 4; i += 1) channel.post(i)
    await world.pass(5)
    for (let i = 4; i < 20; i += 1) channel.post(i)
    await world.pass(30_000)
    const stored = world.server.log.map((entry) => Number(entry.data))
    expect(stored).toHaveLength(20)
    expect(stored.slice(8)).toEqual(stored.slice(8).toSorted((a, b) => a - b))
  })

  test('a channel that is left stays subscribed while its messages wait', async () => {
    const { world, channel, close, types } = start()
    await world.pass(1)
    world.server.refuse = (frame) =>
      frame.type === 'publish' ? { type: 'error', code: 'rate_limited', retry: 3_000 } : undefined
    channel.post('a')
    await world.pass(1)
    close()
    await world.pass(2_000)
    expect(types()).not.toContain('unsubscribe')
    world.server.refuse = undefined
    await world.pass(5_000)
    expect(world.server.log).toHaveLength(1)
    expect(types()?.at(-1)).toBe('unsubscribe')
  })

  test('a channel nobody looks at is kept until its messages are sent', async () => {
    const { world, channel, close } = start()
    world.server.up = false
    channel.post('a')
    close()
    await world.pass(3_000)
    world.server.up = true
    await world.pass(30_000)
    expect(world.server.log.map((entry) => entry.data)).toEqual(['a'])
  })
})
