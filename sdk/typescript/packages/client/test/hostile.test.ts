// biome-ignore-all lint/suspicious/noExplicitAny: what is wrong on purpose has no type.
// biome-ignore-all lint/complexity/noCommaOperator: short.
// What a hostile reading found: each was wrong once.

import { expect, test } from 'vitest'
import { fold } from '../src/log.js'
import { got, heard, inWorld, LOBBY, line } from './help.js'
import type { FakeSocket, Frame, Server } from './world.js'

/** Answers every subscribe like this. */
function answer(server: Server, kind: string, say: (frame: any) => Frame[]): void {
  server.refuse = (frame: Frame, socket: FakeSocket) => {
    if (frame.type !== 'subscribe') return undefined
    socket.followed.add(String(frame.channel))
    for (const said of say(frame)) {
      const more = said.type === 'subscribed' ? { id: frame.id, kind, can: ['publish'] } : {}
      socket.push({ channel: frame.channel, ...said, ...more })
    }
    return 'silence'
  }
}

test('publish with a signal that is aborted already is not sent', async () => {
  const { world, channel, server } = inWorld()
  const r = channel.publish('x', { signal: AbortSignal.abort() }).then(
    () => 'sent',
    () => 'rejected',
  )
  await world.pass(3000)
  expect([await r, server.log.length]).toEqual(['rejected', 0])
})

test('history with an aborted signal settles', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(2000)
  let out = 'never'
  client.history(LOBBY, { signal: AbortSignal.abort() }).then(
    () => (out = 'ok'),
    () => (out = 'rejected'),
  )
  await world.pass(60000)
  expect(out).toBe('rejected')
})

test('abort listeners are removed', async () => {
  const { world, client, channel } = inWorld()
  channel.subscribe()
  await world.pass(2000)
  let n = 0
  const c = new AbortController()
  const { addEventListener: add, removeEventListener: rem } = c.signal
  c.signal.addEventListener = ((...a: any) => {
    n++
    return (add as any).apply(c.signal, a)
  }) as any
  c.signal.removeEventListener = ((...a: any) => {
    n--
    return (rem as any).apply(c.signal, a)
  }) as any
  for (let i = 0; i < 5; i++) {
    const p = channel.publish(i, { signal: c.signal })
    await world.pass(1000)
    await p
  }
  for (let i = 0; i < 5; i++) {
    const p = client.history(LOBBY, { signal: c.signal })
    await world.pass(1000)
    await p
  }
  expect(n).toBe(0)
})

test('look loop', async () => {
  const { world, server, timeline } = inWorld()
  server.refuse = (f) =>
    f.type === 'history' ? { type: 'error', code: 'not_available', message: '', retry: 5000 } : undefined
  timeline.restore([{ id: 'a', data: 1, at: world.now, state: 'waiting', key: 'k1' }])
  await world.pass(10000)
  expect(got(world, 'history').length).toBeLessThan(6)
})

test('restore after load', async () => {
  const { world, server, timeline, client } = inWorld()
  server.append({ t: 1 }, 'guest-old', { key: 'k1' })
  timeline.loadOlder
  client.connect()
  await world.pass(2000)
  const p = timeline.loadOlder()
  await world.pass(2000)
  await p
  timeline.restore([{ id: 'a', data: { t: 1 }, at: world.now, state: 'sending', key: 'k1' }])
  await world.pass(5000)
  expect(server.log.map((m) => m.data)).toEqual([{ t: 1 }])
})

test('rewound after 11 min is published again', async () => {
  const { world, server, channel } = inWorld()
  channel.subscribe()
  const p = channel.publish('mine')
  await world.pass(3000)
  await p
  await world.pass(11 * 60_000)
  server.swap(1)
  await world.pass(20000)
  expect(server.log.map((m) => m.data)).toEqual(['mine'])
})

test('a reference whose target was lost is not done to another', async () => {
  const { world, server, channel, timeline } = inWorld()
  channel.subscribe()
  await world.pass(2000)
  for (const x of ['base', 'A', 'B']) {
    const p = channel.publish(x)
    await world.pass(1000)
    await p
  }
  const p = timeline.remove({ offset: 3 } as any)
  await world.pass(1000)
  await p // deletes B
  // log: base A B del(3); keep base only; somebody else writes first
  server.rewind(3)
  server.append('other')
  world.drop()
  await world.pass(20000)
  const at = server.log.find((m) => m.op === 'delete')
  const target = server.log.find((m) => m.offset === at?.ref)
  expect(target?.data ?? 'B').toBe('B')
})

test('somebody else: a reaction on lost message goes to another', async () => {
  const { world, server, channel, timeline } = inWorld()
  channel.subscribe()
  await world.pass(2000)
  server.append('base')
  server.append('I love this')
  await world.pass(1000)
  const p = timeline.react({ offset: 2 } as any, '+1')
  await world.pass(1000)
  await p
  server.rewind(2)
  server.append('my dog died')
  world.drop()
  await world.pass(20000)
  expect(server.log.filter((m) => m.op === 'react')).toEqual([])
})

test('disconnect in a connection listener', async () => {
  const { world, client, channel } = inWorld()
  channel.subscribe()
  await world.pass(2000)
  client.connection.subscribe(() => {
    if (client.connection.get().state === 'waiting') client.disconnect()
  })
  world.drop()
  await world.pass(60000)
  expect(client.connection.get().state).toBe('idle')
})

test('wake in a connection listener does not cut the next line', async () => {
  const { world, client, channel } = inWorld()
  channel.subscribe()
  await world.pass(9000)
  let made = 0
  client.connection.subscribe(() => {
    const s = client.connection.get().state
    if (s === 'waiting') client.wake()
    if (s === 'connecting') made++
  })
  world.drop()
  await world.pass(60000)
  expect(made).toBe(1)
})

test('disconnect in a listener while connecting', async () => {
  const { world, client } = inWorld()
  client.connection.subscribe(() => {
    if (client.connection.get().state === 'connecting') client.disconnect()
  })
  client.connect()
  await world.pass(60000)
  expect([client.connection.get().state, world.sockets.length]).toEqual(['idle', 0])
})
test.each(['onSession', 'logger'])('what %s throws is reported, and the line goes on', async (callback) => {
  const thrown: unknown[] = []
  const report = (error: unknown) => void thrown.push(error)
  process.on('uncaughtException', report)
  const fail = () => {
    throw new Error('QuotaExceeded')
  }
  const { world, client } = inWorld({ [callback]: fail })
  client.connect()
  await world.pass(10_000)
  expect(client.connection.get().state).toBe('online')
  await new Promise((resolve) => setTimeout(resolve, 5))
  process.off('uncaughtException', report)
  expect(thrown.length).toBeGreaterThan(0)
})

test('fold constructor', () => {
  const m = fold(
    { offset: 1, ts: 0, data: 1, reactions: { '+1': 1 } },
    { offset: 2, ts: 0, op: 'react', ref: 1, data: 'constructor' },
  )
  expect(m.reactions).toEqual({ '+1': 1, constructor: 1 })
})

test('retry 0', async () => {
  const { world, server, client } = inWorld()
  let n = 0
  server.refuse = (f, s) => {
    if (f.type !== 'connect') return undefined
    n++
    world.after(50, () => s.cut(4529))
    return { type: 'error', code: 'limit_exceeded', message: '', retry: 0 }
  }
  client.connect()
  await world.pass(60000)
  expect(n).toBeLessThan(30)
})

test('map replay lost with the line', async () => {
  const { world, server, client } = inWorld()
  const m = client.channel('map:desk')
  const asked: any[] = []
  let round = 0
  answer(server, 'map', (f) => {
    asked.push(f.since)
    round++
    if (!f.since)
      return [
        {
          type: 'subscribed',
          epoch: 'e1',
          offset: 1,
          floor: 1,
          entries: [{ offset: 1, epoch: 'e1', entry: 'lamp', data: 'off', ts: 1 }],
        },
      ]
    const head = {
      type: 'subscribed',
      epoch: 'e1',
      offset: 2,
      floor: 1,
      recovered: true,
      replay: f.since.offset < 2 ? 1 : 0,
    }
    const msg = { type: 'message', offset: 2, entry: 'lamp', data: 'on', ts: 2 }
    if (round === 2) {
      return [head]
    } // the replay is cut off by the line
    return f.since.offset < 2 ? [head, msg] : [head]
  })
  m.subscribe()
  await world.pass(2000)
  world.drop()
  await world.pass(3000) // back: subscribed, then the line breaks before the replay
  world.drop()
  await world.pass(30000)
  expect(m.entries.get().get('lamp')?.data).toBe('on')
})

test('signal: a look at presence loses messages', async () => {
  const { world, server, client } = inWorld()
  const c = client.channel('room:x')
  answer(server, 'signal', () => [{ type: 'subscribed' }])
  const h = heard((l) => c.subscribe(l))
  await world.pass(2000)
  const s = line(world)
  let n = 0
  const iv = () => {
    if (n < 100) {
      s.push({ type: 'message', channel: 'room:x', data: n++, ts: 1 })
      world.after(10, iv)
    }
  }
  iv()
  await world.pass(300)
  c.presence
  await world.pass(5000)
  expect(h.data().length).toBe(100)
})

test('late token rejection', async () => {
  const { world, server, client } = inWorld()
  let calls = 0
  let fail: any
  const c = client.channel('chat:tok', {
    token: () => (calls++ === 0 ? new Promise<string>((_, no) => (fail = no)) : 'tok'),
  })
  answer(server, 'signal', () => [{ type: 'subscribed' }])
  c.subscribe()
  await world.pass(2000)
  world.drop()
  await world.pass(3000)
  expect(c.status.get().state).toBe('live')
  fail(new Error('late'))
  await world.pass(100)
  expect(c.status.get().state).toBe('live')
})

test('options come later', async () => {
  const { world, server, client } = inWorld()
  client.channel('value:x')
  const c = client.channel('value:x', { maxRate: 5 })
  const asked: any[] = []
  answer(server, 'value', (f) => (asked.push(f), [{ type: 'subscribed', epoch: 'e', offset: 0, entries: [] }]))
  c.subscribe()
  await world.pass(2000)
  expect(asked[0].maxRate).toBe(5)
})

test('rpc after disconnect settles', async () => {
  const { world, client } = inWorld()
  client.connect()
  await world.pass(2000)
  client.disconnect()
  let out = 'never'
  client.rpc('x').then(
    () => (out = 'ok'),
    () => (out = 'no'),
  )
  await world.pass(600000)
  expect(out).not.toBe('never')
})

test('a page under way when the client is closed for good does not drop the log', async () => {
  const { world, server, client, channel, timeline } = inWorld()
  for (let i = 0; i < 3; i++) server.append(i)
  const told: any[] = []
  const h = heard((l) => channel.subscribe(l, (n) => told.push(n)))
  await world.pass(2000)
  const p = timeline.loadOlder()
  await world.pass(2000)
  await p
  server.replayMax = 0
  world.drop()
  for (let i = 3; i < 6; i++) server.append(i)
  server.refuse = (f) => (f.type === 'history' ? 'silence' : undefined)
  await world.pass(5000)
  world.drop(4409)
  await world.pass(1000)
  server.refuse = undefined
  client.connect()
  await world.pass(20000)
  expect(h.data()).toEqual([3, 4, 5])
})

test('unsubscribed of the last follower does not hit the next', async () => {
  const { world, channel } = inWorld()
  const leave = channel.subscribe()
  await world.pass(2000)
  const st: any[] = []
  channel.status.subscribe(() => st.push(channel.status.get()))
  leave()
  await world.pass(1001)
  channel.subscribe()
  await world.pass(5000)
  expect(st.filter((s) => s.error)).toEqual([])
})

test('denied, then a better token', async () => {
  const { world, server, client, channel } = inWorld({ token: 'a' })
  let ok = false
  server.refuse = (f) =>
    f.type === 'subscribe' && !ok
      ? { type: 'error', code: 'forbidden', message: '' }
      : f.type === 'refresh'
        ? { type: 'refreshed' }
        : undefined
  channel.subscribe()
  await world.pass(2000)
  expect(channel.status.get().state).toBe('denied')
  ok = true
  client.setToken('b')
  await world.pass(60000)
  expect(channel.status.get().state).toBe('live')
})

test('what is no JSON is refused at once, and nobody else is concerned', async () => {
  const { world, client, channel, timeline } = inWorld()
  const circular: { me?: unknown } = {}
  circular.me = circular
  await expect(channel.publish(circular)).rejects.toThrow(TypeError)
  await expect(client.rpc('x', 1n)).rejects.toThrow(TypeError)
  expect(() => timeline.post(circular)).toThrow(TypeError)
  const fine = channel.publish('fine')
  await world.pass(1_000)
  expect(await fine).toMatchObject({ offset: 1 })
})

test('what is said of oneself right after following is said', async () => {
  const { world, client, channel } = inWorld()
  client.connect()
  await world.pass(100)
  channel.subscribe()
  channel.presence.set({ mood: 'fine' })
  await world.pass(1_000)
  const said = [...got(world, 'subscribe'), ...got(world, 'presence')].map((frame) => frame.state)
  expect(said.at(-1)).toEqual({ mood: 'fine' })
})

test('something ephemeral is not what is newest', async () => {
  const { world, server, channel } = inWorld()
  channel.subscribe()
  await world.pass(100)
  server.append('stored')
  await world.pass(100)
  line(world).push({ type: 'message', channel: LOBBY, data: 'passes by', ts: 1 })
  await world.pass(100)
  expect(channel.last.get()?.data).toBe('stored')
})
