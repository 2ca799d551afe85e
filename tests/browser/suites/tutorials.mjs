// The programs that WebSocket tutorials write, as examples of the library: driven by the browser's own
// WebSocket and by the `ws` package.

import assert from 'node:assert/strict'
import path from 'node:path'
import { emptyPage, freePort, Line, PageLine, Program, startExample, within } from '../harness.mjs'

/** The message of the tutorials, with its spaces. */
const CHAT = '{ "type": "chat", "text": "Hi" }'

/** How each of the two opens a line to `url`. */
const clients = {
  Chromium: {
    needs: ['chromium', 'examples'],
    open: async ({ browser, cleanup }, url) => PageLine.open(await pageOf(browser, cleanup), url),
  },
  ws: { needs: ['examples'], open: ({ cleanup }, url) => Line.open(cleanup, url) },
}

async function pageOf(browser, cleanup) {
  const context = await browser.newContext()
  cleanup.add(() => context.close())
  const page = await context.newPage()
  await page.goto(await emptyPage(cleanup))
  return page
}

function withBoth(name, run) {
  return Object.entries(clients).map(([client, { needs, open }]) => ({
    name: `${name} (${client})`,
    needs,
    run: (world) => run(world, (url) => open(world, url)),
  }))
}

export const tests = [
  ...withBoth('welcome_echo greets first, then answers', async ({ cleanup }, open) => {
    const { url } = await startExample(cleanup, 'welcome_echo')
    const line = await open(url)
    assert.equal(await line.next(), 'Welcome!')
    await line.send('hi')
    assert.equal(await line.next(), 'Echo: hi')
    await line.send('grüße 👋')
    assert.equal(await line.next(), 'Echo: grüße 👋')
  }),

  {
    name: 'a snippet that sends before `open` throws; its mended form gets its answer',
    needs: ['chromium', 'examples'],
    run: async ({ browser, cleanup }) => {
      const { url } = await startExample(cleanup, 'welcome_echo')
      const page = await pageOf(browser, cleanup)
      const thrown = await page.evaluate((url) => {
        const socket = new WebSocket(url)
        try {
          socket.send('Hello Server!')
          return 'nothing'
        } catch (error) {
          return error.name
        } finally {
          socket.close()
        }
      }, url)
      assert.equal(thrown, 'InvalidStateError')
      const received = page.evaluate(
        (url) =>
          new Promise((resolve) => {
            const received = []
            const socket = new WebSocket(url)
            socket.onopen = () => socket.send('Hello Server!')
            socket.onmessage = (event) => received.push(event.data) === 2 && resolve(received)
          }),
        url,
      )
      assert.deepEqual(await within('both messages', received), ['Welcome!', 'Echo: Hello Server!'])
    },
  },

  ...withBoth('echo answers', async ({ cleanup }, open) => {
    const { url } = await startExample(cleanup, 'echo')
    const line = await open(url)
    await line.send('hi')
    assert.equal(await line.next(), 'Echo: hi')
  }),

  ...withBoth('message_received answers on the path /ws', async ({ cleanup }, open) => {
    const { url } = await startExample(cleanup, 'message_received')
    assert.equal(new URL(url).pathname, '/ws')
    const line = await open(url)
    await line.send('hi')
    assert.equal(await line.next(), 'Message received: hi')
    await assert.rejects(open(url.replace('/ws', '/elsewhere')))
  }),

  {
    name: 'broadcast reaches every client, the sender too, byte for byte',
    needs: ['chromium', 'examples'],
    run: async (world) => {
      const { url } = await startExample(world.cleanup, 'broadcast')
      const lines = []
      for (const open of [clients.Chromium.open, clients.Chromium.open, clients.ws.open, clients.ws.open]) {
        lines.push(await open(world, url))
      }
      for (const sender of [lines[0], lines[3]]) {
        await sender.send(CHAT)
        for (const line of lines) assert.equal(await line.next(), CHAT)
      }
      assert.equal(lines[2].left, 0)
    },
  },

  {
    name: 'client talks to an example, and says so when nobody is there',
    needs: ['examples'],
    run: async ({ cleanup }) => {
      const file = path.join(process.env.EXAMPLES_DIR, 'client')
      const { url, program } = await startExample(cleanup, 'welcome_echo')
      const client = new Program(file, [url], cleanup)
      await client.prints(/^Welcome!$/m)
      await client.prints(/^Echo: .+$/m)
      await program.kill()
      await within('the client to end with its server', client.exited)

      const nobody = new Program(file, [`ws://127.0.0.1:${await freePort()}`], cleanup)
      assert.notEqual(await within('the client to give up', nobody.exited), 0)
      assert.match(nobody.output, /\S/)
    },
  },
]
