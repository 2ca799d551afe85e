// The client against the real server, through a network that delays and cuts, while the server is killed and started
// again: what was sent is in the log once each, and everybody sees the log.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket as Other } from 'ws'
import { type Client, createClient } from '../../src/client.js'
import type { Message, Page } from '../../src/types.js'
import { BINARY, Network, Trunkline } from './server.js'

const SENDS = 500
const PATIENCE = 120_000
const server = new Trunkline()
const network = new Network()
const clients: Client[] = []

function join(url = `ws://127.0.0.1:${network.port}`): Client {
  // Node 20 has none of its own.
  const client = createClient({ url, WebSocket: globalThis.WebSocket ?? Other, queue: { max: 2_000 } })
  clients.push(client)
  return client
}

async function until(what: string, is: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE
  while (!is()) {
    if (Date.now() > end) throw new Error(`never: ${what}`)
    await pause(10)
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** All of a channel, from its pages. */
async function logOf(channel: string): Promise<Message[]> {
  const log: Message[] = []
  for (;;) {
    const after = log.at(-1)?.offset ?? 0
    const url = `http://127.0.0.1:${server.port}/api/v1/channels/${channel}/messages?after=${after}&limit=1000`
    const page = (await (await fetch(url)).json()) as Page
    log.push(...page.items)
    if (!page.more) return log
  }
}

describe.skipIf(!BINARY)('against a real server', { timeout: 2 * PATIENCE }, () => {
  beforeAll(async () => {
    await server.start()
    await network.open()
    network.target = server.port
  })

  afterAll(async () => {
    for (const client of clients) client.disconnect()
    await network.close()
    await server.end()
  })

  test(`2 clients × ${SENDS} sends over cut lines and a server that is killed: each is stored once, both see the log`, async () => {
    network.delay = 30
    const seats = ['ann', 'bob'].map((name) => {
      const channel = join().channel('chat:e2e')
      const heard: number[] = []
      channel.subscribe((message) => heard.push(message.offset))
      return { name, channel, timeline: channel.timeline(), heard }
    })
    let over = false
    const trouble = (async () => {
      for (let time = 0; !over; time += 1) {
        await pause(150 + Math.random() * 300)
        if (time % 5 === 3) {
          await server.kill()
          network.cut()
          await server.start()
          network.target = server.port
        } else network.cut()
      }
    })()
    for (let serial = 0; serial < SENDS; serial += 1) {
      for (const { name, timeline } of seats) expect(timeline.post({ by: name, serial })).toBeDefined()
      await pause(4)
    }
    over = true
    await trouble
    for (const { timeline } of seats) await until('no draft is left', () => timeline.get().drafts.length === 0)
    const log = await logOf('chat:e2e')
    for (const { name } of seats) {
      const mine = log.map((message) => message.data as { by: string; serial: number }).filter(({ by }) => by === name)
      expect(mine.map(({ serial }) => serial)).toEqual(Array.from({ length: SENDS }, (_, serial) => serial))
    }
    for (const { timeline, heard } of seats) {
      await until('the timeline is at the end of the log', () => timeline.get().head === log.length)
      while (timeline.get().hasOlder) await timeline.loadOlder()
      const seen = timeline.get().messages.map(({ offset, data }) => ({ offset, data }))
      expect(seen).toEqual(log.map(({ offset, data }) => ({ offset, data })))
      expect(heard).toEqual(Array.from({ length: heard.length }, (_, i) => (heard[0] as number) + i))
      expect(heard.at(-1)).toBe(log.length)
    }
  })

  test('edits, deletions and reactions are the same for who was there and who comes later', async () => {
    network.delay = 0
    const channel = join().channel('chat:notes')
    const timeline = channel.timeline()
    channel.subscribe()
    const { offset } = await channel.publish('Helo')
    await until('it is there', () => timeline.get().messages.length === 1)
    const [message] = timeline.get().messages
    if (!message) throw new Error('it is there')
    await timeline.edit(message, 'Hello')
    await timeline.react(message, '+1')
    await channel.publish('spam')
    await until('all of it is there', () => timeline.get().messages.length === 2)
    await timeline.remove(timeline.get().messages[1] as Message)
    const page = await join().history('chat:notes')
    const face = ({ offset, data, deleted, reactions }: Message) => ({ offset, data, deleted, reactions })
    await until('the deletion is there', () => timeline.get().messages[1]?.deleted === true)
    expect(timeline.get().messages.map(face)).toEqual(page.items.map(face))
    expect(page.items[0]).toMatchObject({ offset, data: 'Hello', reactions: { '+1': 1 } })
  })

  test('presence, typing, a map and something ephemeral', async () => {
    const [ann, bob] = [join(), join()]
    const [here, there] = [ann.channel('room:team'), bob.channel('room:team')]
    here.presence.set({ mood: 'fine' })
    here.subscribe()
    const heard: unknown[] = []
    void there.presence
    there.subscribe((message) => heard.push(message.data))
    await until('both are there', () => there.presence.members.get().length === 2 && here.presence.count.get() === 2)
    expect(there.presence.members.get().find((member) => member.client === ann.me.client)?.state).toEqual({
      mood: 'fine',
    })
    here.presence.setTyping()
    await until('ann types', () => there.presence.typing.get().length === 1)
    here.send({ x: 1 })
    await until('it is heard', () => heard.length === 1)
    const [desk, other] = [ann.channel('map:desk'), bob.channel('map:desk')]
    await desk.publish({ on: true }, { entry: 'lamp' })
    other.subscribe()
    await until('the lamp is on', () => other.entries.get().get('lamp')?.data?.on === true)
    await desk.remove('lamp')
    await until('the lamp is gone', () => other.entries.get().size === 0)
  })

  test('a claim that only one can win', async () => {
    const all = [join(), join(), join()].map((client) => client.channel('chat:claim').publish('mine', { if: 0 }))
    const outcomes = await Promise.allSettled(all)
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'conflict' })
  })

  test('without a line pages come by HTTP, and rpc says that there is no application', async () => {
    const client = join(`http://127.0.0.1:${server.port}/`)
    const page = await client.history('chat:claim')
    expect(page.items.map((message) => message.data)).toEqual(['mine'])
    expect(client.connection.get().state).toBe('idle')
    await expect(client.history('nope:x')).rejects.toMatchObject({ code: 'unknown_namespace' })
    await expect(client.rpc('orders.place', { item: 7 })).rejects.toMatchObject({ code: 'not_found' })
  })
})
