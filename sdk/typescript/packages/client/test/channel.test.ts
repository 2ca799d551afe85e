// Channels: followed once for all, told in order; publishes that are stored once; presence, values, maps.

import { expect, test } from 'vitest'
import { LIMITS } from '../src/limits.js'
import type { Notice } from '../src/types.js'
import { got, heard, inWorld, LOBBY, line, resumed } from './help.js'
import type { Frame } from './world.js'

test('a channel is subscribed to once, however many follow it, and left a second after the last', async () => {
  const { world, channel } = inWorld()
  const leave = [channel.subscribe(), channel.subscribe(), channel.subscribe()]
  await world.pass(10)
  expect(Object.keys(got(world, 'connect')[0]?.subscribe as object)).toEqual([LOBBY])
  for (const each of leave) each()
  leave[0]?.()
  await world.pass(LIMITS.linger - 20)
  expect(got(world, 'unsubscribe')).toHaveLength(0)
  const again = channel.subscribe()
  await world.pass(5_000)
  expect(got(world, 'subscribe').length + got(world, 'unsubscribe').length).toBe(0)
  again()
  await world.pass(LIMITS.linger + 10)
  expect(got(world, 'unsubscribe')).toHaveLength(1)
  expect(channel.status.get().state).toBe('idle')
})

test('a thousand messages in one task reach each listener, and renew stores twice at most', async () => {
  const { world, server, channel, timeline } = inWorld()
  const { messages } = heard((listener) => channel.subscribe(listener))
  await world.pass(100)
  let renewed = 0
  timeline.get()
  timeline.subscribe(() => (renewed += 1))
  for (let i = 0; i < 1_000; i += 1) server.append(i)
  await world.pass(100)
  expect(messages.map((message) => message.data)).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
  expect(renewed).toBeLessThanOrEqual(2)
  expect(timeline.get().messages).toHaveLength(1_000)
})

test('a listener that throws keeps nothing from the others', async () => {
  const { world, server, channel } = inWorld()
  const thrown: unknown[] = []
  const report = (error: unknown) => void thrown.push(error)
  process.on('uncaughtException', report)
  channel.subscribe(() => {
    throw new Error('mine')
  })
  const { data } = heard((listener) => channel.subscribe(listener))
  await world.pass(10)
  server.append('x')
  await world.pass(10)
  expect(data()).toEqual(['x'])
  await new Promise((resolve) => setTimeout(resolve, 5))
  process.off('uncaughtException', report)
  expect(thrown).toHaveLength(1)
})

test('for await reads what comes, and leaves when it is left', async () => {
  const { world, server, channel } = inWorld()
  const read: unknown[] = []
  const reading = (async () => {
    for await (const message of channel) {
      read.push(message.data)
      if (read.length === 3) break
    }
  })()
  await world.pass(10)
  for (const word of ['a', 'b', 'c', 'd']) server.append(word)
  await world.pass(10)
  await reading
  expect(read).toEqual(['a', 'b', 'c'])
  await world.pass(LIMITS.linger + 10)
  expect(got(world, 'unsubscribe')).toHaveLength(1)
})

test('a gap that is too long is jumped over and told; what is there of it comes', async () => {
  const { world, server, client, channel } = inWorld()
  const told: Notice[] = []
  const { data } = heard((listener) => channel.subscribe(listener, (notice) => told.push(notice)))
  await world.pass(10)
  client.disconnect()
  for (let i = 1; i <= 1_000; i += 1) server.append(i)
  server.replayMax = 10
  client.connect()
  await world.pass(1_000)
  expect(told).toEqual([{ type: 'missed', count: 950 }])
  expect(data()[0]).toBe(951)
  expect(data()).toHaveLength(50)
})

test('who may not read the past goes on after a gap, and is told', async () => {
  const { world, server, client, channel } = inWorld()
  server.can = ['publish']
  const told: Notice[] = []
  const { data } = heard((listener) => channel.subscribe(listener, (notice) => told.push(notice)))
  await world.pass(10)
  client.disconnect()
  for (let i = 1; i <= 20; i += 1) server.append(i)
  server.replayMax = 10
  client.connect()
  await world.pass(1_000)
  server.append('after')
  await world.pass(100)
  expect(told).toEqual([{ type: 'missed', count: 20 }])
  expect(data()).toEqual(['after'])
  expect(channel.status.get().state).toBe('live')
})

test('a refusal that passes is asked again, one that does not is told', async () => {
  const { world, server, channel } = inWorld()
  let answer: Frame = { type: 'error', code: 'not_available', message: 'later', retry: 500 }
  server.refuse = (frame) => (frame.type === 'subscribe' ? answer : undefined)
  channel.subscribe()
  await world.pass(100)
  expect(channel.status.get()).toMatchObject({ state: 'subscribing', error: { code: 'not_available' } })
  answer = { type: 'error', code: 'forbidden', message: 'ann may not subscribe' }
  await world.pass(1_000)
  expect(channel.status.get()).toMatchObject({ state: 'denied', error: { code: 'forbidden' } })
  const count = got(world, 'subscribe').length
  await world.pass(60_000)
  expect(got(world, 'subscribe')).toHaveLength(count)
})

test('a subscription that the server ends is told, or taken up again', async () => {
  const { world, channel } = inWorld()
  channel.subscribe()
  await world.pass(10)
  line(world).push({ type: 'unsubscribed', channel: LOBBY, code: 'not_available', message: 'later', retry: 100 })
  await world.pass(500)
  expect(channel.status.get().state).toBe('live')
  line(world).push({ type: 'unsubscribed', channel: LOBBY, code: 'forbidden', message: 'no more' })
  await world.pass(500)
  expect(channel.status.get()).toMatchObject({ state: 'denied', error: { code: 'forbidden' } })
})

test('a publish is answered with its place, with or without a subscription', async () => {
  const { world, channel } = inWorld()
  const alone = channel.publish('alone')
  await world.pass(100)
  expect(await alone).toMatchObject({ offset: 1, epoch: 'e1' })
  channel.subscribe()
  await world.pass(100)
  const followed = channel.publish('followed')
  await world.pass(100)
  expect(await followed).toMatchObject({ offset: 2 })
})

test('a publish under a key of ones own is stored once', async () => {
  const { world, server, channel } = inWorld()
  const both = Promise.all([channel.publish('one', { key: 'order-42' }), channel.publish('two', { key: 'order-42' })])
  await world.pass(100)
  const [first, second] = await both
  expect([first.dup, second.dup, first.offset, second.offset]).toEqual([undefined, true, 1, 1])
  expect(server.log).toHaveLength(1)
})

test("a key of ones own is not taken for answered when somebody else's message has it", async () => {
  const { world, server, channel } = inWorld()
  channel.subscribe()
  await world.pass(10)
  server.refuse = (frame) => (frame.type === 'publish' ? 'silence' : undefined)
  let answered = false
  void channel.publish('mine', { key: 'order-42' }).then(() => (answered = true))
  await world.pass(10)
  server.append('theirs', 'mallory', { key: 'order-42' })
  await world.pass(100)
  expect(answered).toBe(false)
})

test('what waits for a line is bounded in number and age, and can be taken back', async () => {
  const { world, server, client, channel } = inWorld({ queue: { max: 3, ttl: 60_000 } })
  server.up = false
  const takenBack = new AbortController()
  const sent = [channel.publish(1), channel.publish(2), channel.publish(3, { signal: takenBack.signal })]
  const ends = Promise.all(
    sent.map((each) =>
      each.catch((error: Error & { code?: string }) => (error.name === 'AbortError' ? error.name : error.code)),
    ),
  )
  await expect(channel.publish(4)).rejects.toMatchObject({ code: 'queue_full' })
  expect(client.connection.get().pending).toBe(3)
  takenBack.abort()
  await world.pass(61_000)
  expect(await ends).toEqual(['expired', 'expired', 'AbortError'])
  server.up = true
  await world.pass(60_000)
  expect(server.log).toHaveLength(0)
})

test('what the server is too busy for is sent again in order, under the same keys', async () => {
  const { world, server, channel } = inWorld()
  let busy = true
  server.refuse = ({ type }) =>
    busy && type === 'publish' ? { type: 'error', code: 'rate_limited', message: 'slower', retry: 300 } : undefined
  const all = Promise.all(Array.from({ length: 30 }, (_, i) => channel.publish(i)))
  await world.pass(1_000)
  busy = false
  await world.pass(5_000)
  await all
  expect(server.log.map((message) => message.data)).toEqual(Array.from({ length: 30 }, (_, i) => i))
})

test('what was not answered is sent again under the same key, and stored once', async () => {
  const { world, server, channel } = inWorld()
  channel.subscribe()
  await world.pass(10)
  const answers = Promise.all([channel.publish('one'), channel.publish('two')])
  const [one, two] = got(world, 'publish')
  expect([one, two]).toEqual([undefined, undefined])
  await world.pass(0)
  const keys = got(world, 'publish').map((frame) => frame.key)
  // Both are stored, and neither answer arrives.
  line(world).isDead = true
  await world.pass(1)
  expect(server.log).toHaveLength(2)
  world.drop()
  await world.pass(5_000)
  expect((await answers).map((receipt) => receipt.key)).toEqual(keys)
  expect(server.log.map((message) => message.data)).toEqual(['one', 'two'])
})

test('what is too large is not sent, and a refusal is told', async () => {
  const { world, server, channel } = inWorld()
  channel.subscribe()
  await world.pass(10)
  await expect(channel.publish('x'.repeat(20_000))).rejects.toMatchObject({ code: 'too_large' })
  server.refuse = ({ type }) =>
    type === 'publish' ? { type: 'error', code: 'conflict', message: 'no', offset: 7 } : undefined
  const refused = channel.publish('x', { if: 3 }).catch((error: unknown) => error)
  await world.pass(10)
  expect(got(world, 'publish')[0]?.if).toEqual({ offset: 3 })
  expect(await refused).toMatchObject({ code: 'conflict', offset: 7 })
})

test('something ephemeral is sent once or not at all', async () => {
  const { world, channel } = inWorld()
  channel.send('nobody is there')
  channel.subscribe()
  await world.pass(10)
  channel.send({ x: 1 })
  await world.pass(10)
  expect(got(world, 'publish')).toEqual([{ type: 'publish', channel: LOBBY, ephemeral: true, data: { x: 1 } }])
  world.drop()
  channel.send({ x: 2 })
  await world.pass(5_000)
  expect(got(world, 'publish')).toEqual([])
})

test('a token for a channel is asked for at each subscribe', async () => {
  const { world, client } = inWorld()
  let count = 0
  const channel = client.channel('chat:private', { token: async () => `t${++count}` })
  channel.subscribe()
  await world.pass(10)
  expect(got(world, 'subscribe')).toMatchObject([{ channel: 'chat:private', token: 't1' }])
  line(world).push({ type: 'unsubscribed', channel: 'chat:private', code: 'token_expired', message: 'over' })
  await world.pass(1_000)
  expect(got(world, 'subscribe')[1]).toMatchObject({ token: 't2' })
})

test('who is there is told, stays while the line is down, and typing ends by itself', async () => {
  const { world, channel } = inWorld()
  const { presence } = channel
  const names = () => presence.members.get().map((member) => member.user)
  presence.set({ mood: 'fine' })
  channel.subscribe()
  await world.pass(10)
  expect(resumed(world, LOBBY)).toMatchObject({ presence: true, state: { mood: 'fine' } })
  const ann = { client: 'a', user: 'ann', state: { typing: true } }
  line(world).push({
    type: 'presence',
    channel: LOBBY,
    set: [ann, { client: 'b', user: 'bob' }],
    gone: [],
    count: 2,
    all: true,
  })
  await world.pass(100)
  expect([names(), presence.count.get()]).toEqual([['ann', 'bob'], 2])
  expect(presence.typing.get().map((member) => member.user)).toEqual(['ann'])
  world.drop()
  await world.pass(3_000)
  expect(names()).toEqual(['ann', 'bob'])
  line(world).push({ type: 'presence', channel: LOBBY, set: [], gone: ['a'], count: 1 })
  presence.setTyping()
  await world.pass(LIMITS.typing + 100)
  expect([names(), presence.typing.get()]).toEqual([['bob'], []])
  const said = got(world, 'presence').map((frame) => frame.state)
  expect(said).toEqual([{ mood: 'fine', typing: true }, { mood: 'fine' }])
})

test('a map is what is newest of each entry, over a lost line too', async () => {
  const { world, server, client } = inWorld()
  const map = client.channel('map:desk')
  const place = { type: 'subscribed', channel: 'map:desk', kind: 'map', epoch: 'e1', floor: 1, can: ['publish'] }
  const entry = (offset: number, name: string, data: unknown) => ({ offset, entry: name, data, ts: 1 })
  server.refuse = (frame) => {
    if (frame.channel !== 'map:desk' || frame.type !== 'subscribe') return undefined
    return frame.since
      ? { ...place, offset: 5, recovered: true, replay: 0 }
      : { ...place, offset: 3, entries: [entry(1, 'lamp', 'off'), entry(3, 'fan', 'on')] }
  }
  map.subscribe()
  await world.pass(100)
  const now = () => Object.fromEntries([...map.entries.get()].map(([name, message]) => [name, message.data]))
  expect(now()).toEqual({ lamp: 'off', fan: 'on' })
  line(world).push({ type: 'message', channel: 'map:desk', ...entry(4, 'lamp', 'on') })
  line(world).push({ type: 'message', channel: 'map:desk', offset: 5, entry: 'fan', op: 'delete', ts: 2 })
  await world.pass(100)
  expect(now()).toEqual({ lamp: 'on' })
  world.drop()
  await world.pass(3_000)
  expect(resumed(world, 'map:desk')?.since).toEqual({
    epoch: 'e1',
    offset: 5,
  })
  expect(now()).toEqual({ lamp: 'on' })
})

test('drafts are shown until the log has them, kept over a reload, and sent once', async () => {
  const first = inWorld()
  first.server.up = false
  first.channel.subscribe()
  first.timeline.post('hello')
  await first.world.pass(100)
  const [kept] = first.timeline.get().drafts
  expect(kept).toMatchObject({ state: 'waiting', data: 'hello' })

  // Its answer was on the way when the page was closed.
  const second = inWorld()
  second.server.append('hello', 'guest-s1', { key: kept?.key })
  second.timeline.restore([kept as NonNullable<typeof kept>])
  second.channel.subscribe()
  await second.world.pass(100)
  expect(second.timeline.get().drafts).toHaveLength(0)
  expect(second.server.log).toHaveLength(1)
})

test('drafts of a room that nobody follows are sent, and where nothing can be seen, too', async () => {
  for (const can of [['publish', 'history'], ['publish']]) {
    const { world, server, timeline } = inWorld()
    server.can = can
    if (!can.includes('history')) {
      server.refuse = ({ type }) =>
        type === 'history' ? { type: 'error', code: 'forbidden', message: 'no' } : undefined
    }
    timeline.restore([{ id: 'd1', data: 'hello', at: world.now, state: 'waiting', key: 'mwsb3eaz-k3' }])
    await world.pass(1_000)
    expect(server.log.map((message) => message.data)).toEqual(['hello'])
    expect(timeline.get().drafts).toEqual([])
  }
})

test('a draft that fails stays, and is tried again or taken back', async () => {
  const { world, server, channel, timeline } = inWorld()
  channel.subscribe()
  server.refuse = ({ type }) => (type === 'publish' ? { type: 'error', code: 'forbidden', message: 'no' } : undefined)
  timeline.post('a')
  timeline.post('b')
  await world.pass(100)
  const [a, b] = timeline.get().drafts
  expect([a?.state, b?.error?.code]).toEqual(['failed', 'forbidden'])
  server.refuse = undefined
  timeline.retry(String(a?.id))
  expect(timeline.discard(String(b?.id))?.data).toBe('b')
  await world.pass(100)
  expect(timeline.get().messages.map((message) => message.data)).toEqual(['a'])
  expect(timeline.get().drafts).toEqual([])
})

test('edits, deletions and reactions are seen where they belong', async () => {
  const { world, channel, timeline } = inWorld()
  channel.subscribe()
  await world.pass(10)
  timeline.post('Helo')
  timeline.post('spam')
  await world.pass(100)
  const [one, two] = timeline.get().messages
  if (!one || !two) throw new Error('they are there')
  const all = Promise.all([
    timeline.edit(one, 'Hello'),
    timeline.remove(two),
    timeline.react(one, '+1'),
    timeline.react(one, '<3'),
  ])
  await world.pass(100)
  await all
  const taken = timeline.unreact(one, '<3')
  await world.pass(100)
  await taken
  expect(timeline.get().messages).toMatchObject([
    { offset: 1, data: 'Hello', reactions: { '+1': 1 }, rev: 7 },
    { offset: 2, data: undefined, deleted: true },
  ])
})

test('what is trimmed away can be loaded again', async () => {
  const { world, server, channel, timeline } = inWorld()
  for (let i = 1; i <= 200; i += 1) server.append(i)
  channel.subscribe()
  for (let i = 0; i < 4; i += 1) {
    void timeline.loadOlder()
    await world.pass(100)
  }
  expect(timeline.get()).toMatchObject({ lo: 1, hasOlder: false, loaded: true })
  timeline.trim(20)
  await world.pass(100)
  expect(timeline.get()).toMatchObject({ lo: 181, hasOlder: true })
  void timeline.loadOlder()
  await world.pass(100)
  expect(timeline.get()).toMatchObject({ lo: 131 })
})
