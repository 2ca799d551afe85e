// The TypeScript SDK in a browser's own world: a network that is cut, a tab that is frozen, a server that ends meanwhile.

import assert from 'node:assert/strict'
import { freePort, startServer, within } from '../harness.mjs'

/** A tab with a client in it, that follows a room. */
async function tab({ browser, cleanup }, url) {
  const context = await browser.newContext()
  cleanup.add(() => context.close())
  const page = await context.newPage()
  await page.goto(`${url}/health/live`)
  await page.addScriptTag({ url: `${url}/trunkline.js` })
  await page.evaluate(() => {
    globalThis.client = globalThis.Trunkline.createClient()
    globalThis.room = globalThis.client.channel('chat:sdk')
    globalThis.timeline = globalThis.room.timeline()
    globalThis.heard = []
    globalThis.room.subscribe((message) => globalThis.heard.push(message.data))
  })
  const state = (is) => page.waitForFunction((is) => globalThis.client.connection.get().state === is, is)
  await state('online')
  return {
    context,
    page,
    state,
    post: (data) => page.evaluate((data) => void globalThis.timeline.post(data), data),
    /** Waits until all of these are in its log, each once, in this order, and nothing is under way. */
    has: (data) =>
      page.waitForFunction((data) => {
        const { messages, drafts } = globalThis.timeline.get()
        return drafts.length === 0 && JSON.stringify(messages.map((message) => message.data)) === data
      }, JSON.stringify(data)),
    heard: () => page.evaluate(() => globalThis.heard),
  }
}

export const tests = [
  {
    name: 'a network that is cut and comes back: what was written goes out, what was missed comes, once each',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const [ann, bob] = [await tab(world, server.url), await tab(world, server.url)]
      await ann.post('before')
      await bob.has(['before'])
      await ann.context.setOffline(true)
      await ann.state('offline')
      await ann.post('from offline')
      await bob.post('meanwhile')
      await bob.has(['before', 'meanwhile'])
      await ann.context.setOffline(false)
      await ann.state('online')
      for (const one of [ann, bob]) {
        await one.has(['before', 'meanwhile', 'from offline'])
        assert.deepEqual(await one.heard(), ['before', 'meanwhile', 'from offline'])
      }
    },
  },

  {
    name: 'a tab that was frozen while the server was killed has all of it when it wakes up',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const port = await freePort()
      let server = await startServer(world.cleanup, { port })
      const { data } = server
      const [ann, bob] = [await tab(world, server.url), await tab(world, server.url)]
      await ann.post('before')
      await bob.has(['before'])
      const cdp = await ann.context.newCDPSession(ann.page)
      await cdp.send('Page.setWebLifecycleState', { state: 'frozen' })
      await server.program.kill()
      server = await startServer(world.cleanup, { port, data })
      await bob.post('meanwhile')
      await bob.has(['before', 'meanwhile'])
      await cdp.send('Page.setWebLifecycleState', { state: 'active' })
      await within('the frozen tab', ann.has(['before', 'meanwhile']))
      assert.deepEqual(await ann.heard(), ['before', 'meanwhile'])
      await ann.post('after')
      await bob.has(['before', 'meanwhile', 'after'])
    },
  },

  {
    name: 'ten thousand live messages into a list of 200 rows',
    needs: ['chromium', 'server'],
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const { page } = await tab(world, server.url)
      const cost = await page.evaluate(async () => {
        const list = document.body.appendChild(document.createElement('ol'))
        const { client, timeline } = globalThis
        let drawn = 0
        timeline.subscribe(() => {
          drawn += 1
          const rows = timeline.get().messages.slice(-200).map((message) => {
            const row = document.createElement('li')
            row.textContent = `${message.offset} ${message.data}`
            return row
          })
          list.replaceChildren(...rows)
          if (timeline.get().messages.length > 600) timeline.trim(300)
        })
        const long = []
        new PerformanceObserver((entries) => long.push(...entries.getEntries().map((entry) => entry.duration))).observe({
          type: 'longtask',
        })
        let frames = 0
        let over = false
        const count = () => {
          frames += 1
          if (!over) requestAnimationFrame(count)
        }
        requestAnimationFrame(count)
        const other = globalThis.Trunkline.createClient({ queue: { max: 20_000 } }).channel('chat:sdk')
        const began = performance.now()
        await Promise.all(Array.from({ length: 10_000 }, (_, serial) => other.publish(serial)))
        while (timeline.get().head < 10_000) await new Promise((resolve) => setTimeout(resolve, 10))
        over = true
        const took = performance.now() - began
        return { took, drawn, frames, long, rows: list.children.length, state: client.connection.get().state }
      })
      const sum = cost.long.reduce((all, each) => all + each, 0)
      console.log(
        `      ${Math.round(cost.took)} ms for 10,000, published by the same page: ${cost.drawn} renewals, ${cost.frames} frames, ` +
          `${cost.long.length} tasks above 50 ms with ${Math.round(sum)} ms in all`,
      )
      assert.equal(cost.rows, 200)
      assert.equal(cost.state, 'online')
      assert.ok(cost.drawn < 10_000 / 2, 'many messages are one renewal')
    },
  },
]
