// The server's plain ways in, and its protocol as a person would type it: `/echo`, `/room/{name}` and `/ws`.

import assert from 'node:assert/strict'
import { Line, PageLine, startServer } from '../harness.mjs'

const CHAT = '{ "type": "chat", "text": "Hi" }'
/** Every byte value, so that nothing is taken for text on its way. */
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, value) => value))

/** A page of the server itself: others may not connect. */
async function pageOf({ browser, cleanup }, server) {
  const context = await browser.newContext()
  cleanup.add(() => context.close())
  const page = await context.newPage()
  await page.goto(`${server.url}/health/live`)
  return page
}

export const tests = [
  {
    name: '/echo gives text and binary back as they were',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const page = await pageOf(world, server)
      for (const line of [
        await PageLine.open(page, `${server.ws}/echo`),
        await Line.open(world.cleanup, `${server.ws}/echo`),
      ]) {
        for (const sent of [CHAT, '', 'grüße 👋\n', 'x'.repeat(100_000)]) {
          await line.send(sent)
          assert.equal(await line.next(), sent)
        }
        await line.send(BYTES)
        assert.deepEqual(await line.next(), BYTES)
      }
    },
  },

  {
    name: '/trunkline.js is the SDK as one script, without a build',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const page = await pageOf(world, server)
      await page.addScriptTag({ url: `${server.url}/trunkline.js` })
      const heard = await page.evaluate(async () => {
        const { createClient } = globalThis.Trunkline
        const lobby = createClient().channel('chat:script')
        const first = new Promise((resolve) => lobby.subscribe((message) => resolve(message.data)))
        const { offset } = await lobby.publish({ text: 'Hi' })
        return [offset, await first]
      })
      assert.deepEqual(heard, [1, { text: 'Hi' }])
    },
  },

  {
    name: '/room/lobby reaches everyone in the room, the sender too, and nobody else',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const room = `${server.ws}/room/lobby`
      const inside = [
        await PageLine.open(await pageOf(world, server), room),
        await PageLine.open(await pageOf(world, server), room),
        await Line.open(world.cleanup, room),
        await Line.open(world.cleanup, room),
      ]
      const outside = await Line.open(world.cleanup, `${server.ws}/room/other`)
      for (const sender of [inside[0], inside[2]]) {
        await sender.send(CHAT)
        for (const line of inside) assert.equal(await line.next(), CHAT)
        await sender.send(BYTES)
        for (const line of inside) assert.deepEqual(await line.next(), BYTES)
      }
      outside.send('here')
      assert.equal(await outside.next(), 'here')
      assert.equal(outside.left, 0)
    },
  },

  {
    name: 'a browser and Node agree on compression and read what is compressed, others get the same as it is',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const room = `${server.ws}/room/lobby`
      const compressing = [
        await PageLine.open(await pageOf(world, server), room),
        await Line.open(world.cleanup, room),
      ]
      for (const line of compressing) assert.match(line.extensions, /^permessage-deflate/)
      const plain = await Line.open(world.cleanup, room, [], { perMessageDeflate: false })
      assert.equal(plain.extensions, '')
      const long = CHAT.repeat(200)
      for (const sender of [...compressing, plain]) {
        // Each has joined when it hears something.
        await sender.send('here')
        assert.equal(await sender.next(), 'here')
      }
      for (const sender of [...compressing, plain]) {
        await sender.send(long)
        for (const line of [...compressing, plain]) {
          let heard
          do heard = await line.next()
          while (heard === 'here')
          assert.equal(heard, long)
        }
      }
    },
  },

  ...[['without a subprotocol', []], ['with trunkline.v1', ['trunkline.v1']]].map(([how, protocols]) => ({
    name: `the example typed by hand, ${how}`,
    needs: ['server'],
    run: async ({ cleanup }) => {
      const server = await startServer(cleanup)
      const line = await Line.open(cleanup, `${server.ws}/ws`, protocols)
      assert.equal(line.socket.protocol, protocols[0] ?? '')
      line.send('{"type":"subscribe","channel":"chat:lobby","last":20}')
      const subscribed = JSON.parse(await line.next())
      assert.equal(subscribed.type, 'subscribed')
      assert.equal(subscribed.channel, 'chat:lobby')
      assert.equal(subscribed.kind, 'log')
      assert.equal(typeof subscribed.epoch, 'string')
      assert.deepEqual([subscribed.offset, subscribed.floor, subscribed.items], [0, 1, []])
      assert.ok(subscribed.can.includes('publish'))

      line.send('{"type":"publish","channel":"chat:lobby","data":{"type":"chat","text":"Hi"}}')
      const message = JSON.parse(await line.next())
      assert.equal(message.type, 'message')
      assert.deepEqual([message.channel, message.offset], ['chat:lobby', 1])
      assert.deepEqual(message.data, { type: 'chat', text: 'Hi' })
      assert.match(message.from, /^guest-/)
      assert.equal(typeof message.ts, 'number')

      line.send('{"type":"ping","id":"p"}')
      assert.deepEqual(Object.keys(JSON.parse(await line.next())).sort(), ['id', 'ts', 'type'])

      const later = await Line.open(cleanup, `${server.ws}/ws`, protocols)
      later.send('{"type":"subscribe","channel":"chat:lobby","last":20}')
      const again = JSON.parse(await later.next())
      assert.equal(again.offset, 1)
      assert.deepEqual(again.items.map((item) => item.data), [{ type: 'chat', text: 'Hi' }])
      later.send('{"type":"sing"}')
      assert.equal(JSON.parse(await later.next()).code, 'unknown_type')
    },
  })),

  {
    name: 'the same from the console of a page',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const line = await PageLine.open(await pageOf(world, server), `${server.ws}/ws`)
      await line.send('{"type":"subscribe","channel":"chat:lobby","last":20}')
      assert.equal(JSON.parse(await line.next()).type, 'subscribed')
      await line.send('{"type":"publish","channel":"chat:lobby","data":{"type":"chat","text":"Hi"}}')
      assert.deepEqual(JSON.parse(await line.next()).data, { type: 'chat', text: 'Hi' })
    },
  },

  {
    name: 'a page of another origin may not connect',
    needs: ['server'],
    run: async ({ cleanup }) => {
      const server = await startServer(cleanup)
      const { WebSocket } = await import('ws')
      const socket = new WebSocket(`${server.ws}/ws`, ['trunkline.v1'], { origin: 'https://elsewhere.example' })
      cleanup.add(() => socket.terminate())
      const answer = await new Promise((resolve) => {
        socket.once('unexpected-response', (_, response) => resolve(response.statusCode))
        socket.once('open', () => resolve('open'))
        socket.once('error', (error) => resolve(error.message))
      })
      assert.equal(answer, 403)
    },
  },
]
