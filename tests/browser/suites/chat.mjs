// The chat demo as people meet it: two tabs, a server that dies in between, small screens, keyboards.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { freePort, Line, startServer, within } from '../harness.mjs'

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const SMALL = { width: 360, height: 720 }
/** A line that cannot be had is expected while the server is down; browsers log it as an error. */
const DOWN = /net::ERR_(CONNECTION_|SOCKET_|EMPTY_RESPONSE)/

/** A tab of its own browser profile, with everything that went wrong in it. */
async function openTab({ browser, cleanup }, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options })
  cleanup.add(() => context.close())
  const page = await context.newPage()
  const troubles = []
  page.on('console', (message) => {
    const text = message.text()
    if (['error', 'warning'].includes(message.type()) && !DOWN.test(text)) troubles.push(text)
  })
  page.on('pageerror', (error) => troubles.push(String(error)))
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective}`))
  })
  const response = await page.goto(url)
  return { page, context, troubles, response }
}

async function enter(page, name) {
  await page.getByLabel('Your name').fill(name)
  await page.keyboard.press('Enter')
  await connected(page)
}

const status = (page) => page.locator('.pane-head [role=status]')
const connected = (page) => status(page).getByText('Connected').waitFor()
const field = (page) => page.getByPlaceholder('Write a message')
const message = (page, text) => page.locator('.message', { hasText: text })

async function write(page, text) {
  await field(page).fill(text)
  await field(page).press('Enter')
}

/** The texts of the log with their offsets, without times. */
function logOf(page) {
  return page.locator('.message[data-offset]').evaluateAll((rows) =>
    rows.map((row) => ({ offset: Number(row.dataset.offset), text: row.querySelector('.bubble > p')?.textContent })),
  )
}

/** Fills a room from outside, faster than people type. */
async function fill(cleanup, server, channel, count) {
  const line = await Line.open(cleanup, `${server.ws}/ws`, ['trunkline.v1'])
  for (let n = 1; n <= count; n += 1) {
    const data = { type: 'chat', text: `line ${n}`, name: 'Bob' }
    let answer
    do {
      line.send(JSON.stringify({ type: 'publish', id: n, channel, data }))
      answer = JSON.parse(await line.next())
      // The server may ask for patience; it says for how long.
      if (answer.retry !== undefined) await new Promise((resolve) => setTimeout(resolve, answer.retry))
    } while (answer.retry !== undefined)
    assert.equal(answer.type, 'published', JSON.stringify(answer))
  }
}

async function noViolations(page, where) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => undefined))))
  if (!(await page.evaluate(() => 'axe' in window))) await page.addScriptTag({ path: axePath }).catch(() => undefined)
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)
  })
  assert.deepEqual(found, [], where)
}

/** For axe alone: a page's own policy would not let it in. */
const FOR_AXE = { bypassCSP: true }

const needs = ['chromium', 'server']

export const tests = [
  {
    name: 'the pages are in the binary, with a policy that lets nothing foreign in',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      for (const path of ['/', '/demo/', '/demo/chat']) {
        const { page, response, troubles } = await openTab(world, server.url + path)
        assert.equal(response.status(), 200)
        assert.ok(await page.locator('#root').count(), 'the server is built without its pages (feature `ui`)')
        await page.getByRole('heading', { level: 1 }).waitFor()
        const policy = response.headers()['content-security-policy'] ?? ''
        assert.match(policy, /default-src 'self'/)
        assert.doesNotMatch(policy, /script-src[^;]*unsafe/)
        assert.deepEqual(troubles, [])
      }
    },
  },

  {
    name: 'two tabs chat both ways',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const ann = await openTab(world, `${server.url}/demo/chat`)
      const bob = await openTab(world, `${server.url}/demo/chat`)
      await enter(ann.page, 'Ann')
      await enter(bob.page, 'Bob')
      await ann.page.getByText('No messages in').waitFor()
      await write(ann.page, 'Hello Bob')
      await message(bob.page, 'Hello Bob').waitFor()
      await write(bob.page, 'Hello Ann')
      await message(ann.page, 'Hello Ann').waitFor()
      assert.deepEqual(await logOf(ann.page), await logOf(bob.page))
      assert.deepEqual(await logOf(bob.page), [
        { offset: 1, text: 'Hello Bob' },
        { offset: 2, text: 'Hello Ann' },
      ])
      assert.equal(await ann.page.locator('.message.mine').count(), 1)
      assert.equal(await message(bob.page, 'Hello Bob').locator('.author').textContent(), 'Ann')
      assert.deepEqual([...ann.troubles, ...bob.troubles], [])
    },
  },

  {
    name: 'the server is killed and started again: both tabs come back, nothing is lost or doubled',
    needs,
    run: async (world) => {
      const port = await freePort()
      const first = await startServer(world.cleanup, { port })
      const ann = await openTab(world, `${first.url}/demo/chat`)
      const bob = await openTab(world, `${first.url}/demo/chat`)
      await enter(ann.page, 'Ann')
      await enter(bob.page, 'Bob')
      await write(ann.page, 'before')
      await message(bob.page, 'before').waitFor()

      await first.program.kill()
      await status(ann.page).getByText('Reconnecting').waitFor()
      await write(ann.page, 'while it was down')
      await message(ann.page, 'Waiting to be sent').waitFor()
      await field(bob.page).fill('half a thought')
      await ann.page.getByText('The line is down.').waitFor()
      await ann.page.getByRole('button', { name: 'Retry now' }).waitFor()

      const second = await startServer(world.cleanup, { port, data: first.data })
      assert.equal(second.url, first.url)
      await connected(ann.page)
      await connected(bob.page)
      await message(bob.page, 'while it was down').waitFor()
      await write(ann.page, 'after')
      await message(bob.page, 'after').waitFor()
      await message(ann.page, 'after').and(ann.page.locator('[data-offset]')).waitFor()

      const expected = ['before', 'while it was down', 'after'].map((text, i) => ({ offset: i + 1, text }))
      assert.deepEqual(await logOf(bob.page), expected)
      assert.deepEqual(await logOf(ann.page), expected)
      assert.equal(await field(bob.page).inputValue(), 'half a thought')
      assert.equal(await ann.page.getByText('The line is down.').count(), 0)

      const late = await openTab(world, `${second.url}/demo/chat`)
      await message(late.page, 'after').waitFor()
      assert.deepEqual(await logOf(late.page), expected)
      assert.deepEqual([...ann.troubles, ...bob.troubles, ...late.troubles], [])
    },
  },

  {
    name: 'a reload keeps the name, the typed text and what could not be sent',
    needs,
    run: async (world) => {
      const port = await freePort()
      const server = await startServer(world.cleanup, { port })
      const { page, troubles } = await openTab(world, `${server.url}/demo/chat`)
      await enter(page, 'Ann')
      await page.getByRole('button', { name: 'Behind the scenes' }).click()
      await page.getByLabel('Go offline').check()
      await status(page).getByText('Offline').waitFor()
      await write(page, 'from before the reload')
      await message(page, 'from before the reload').waitFor()
      await field(page).fill('not finished yet')
      await page.reload()
      await connected(page)
      await page.locator('.message[data-offset]', { hasText: 'from before the reload' }).waitFor()
      assert.equal(await field(page).inputValue(), 'not finished yet')
      assert.deepEqual(await logOf(page), [{ offset: 1, text: 'from before the reload' }])
      await page.reload()
      await message(page, 'from before the reload').waitFor()
      assert.equal(await page.locator('.message').count(), 1)
      assert.equal(await page.locator('.message.mine').count(), 1, 'still the same guest')
      assert.deepEqual(troubles, [])
    },
  },

  {
    name: 'rooms: a switch, an address that can be shared, a name that cannot be one',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const ann = await openTab(world, `${server.url}/demo/chat`)
      await enter(ann.page, 'Ann')
      await write(ann.page, 'in the lobby')
      await message(ann.page, 'in the lobby').waitFor()

      await ann.page.getByRole('button', { name: 'Change room' }).click()
      const room = ann.page.getByLabel('Room', { exact: true })
      await room.fill('two words')
      await ann.page.getByText('cannot have a space').waitFor()
      assert.ok(await ann.page.getByRole('button', { name: 'Go there' }).isDisabled())
      await room.fill('tea:4')
      await room.press('Enter')
      await ann.page.getByText('No messages in').waitFor()
      assert.equal(new URL(ann.page.url()).searchParams.get('room'), 'tea:4')
      await connected(ann.page)
      await write(ann.page, 'in the tea room')
      await message(ann.page, 'in the tea room').waitFor()

      const bob = await openTab(world, ann.page.url())
      await message(bob.page, 'in the tea room').waitFor()
      assert.equal((await logOf(bob.page)).length, 1)

      await ann.page.goBack()
      await message(ann.page, 'in the lobby').waitFor()
      assert.equal((await logOf(ann.page)).length, 1)

      const lost = await openTab(world, `${server.url}/demo/chat?room=caf%C3%A9`)
      await lost.page.getByText('cannot have “é” in it').waitFor()
      assert.deepEqual([...ann.troubles, ...bob.troubles, ...lost.troubles], [])
    },
  },

  {
    name: 'older messages load on the way up, and what is read does not move',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      await fill(world.cleanup, server, 'chat:long', 130)
      const { page, troubles } = await openTab(world, `${server.url}/demo/chat?room=long`)
      await message(page, 'line 130').waitFor()
      const log = page.getByRole('log')
      // What is read, and where it stands, frame by frame while older rows come in above it.
      const moved = await log.evaluate(async (element) => {
        const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))
        const rows = () => element.querySelectorAll('[data-offset]')
        const before = rows().length
        element.scrollTop = 400
        await frame()
        const row = [...rows()].find((r) => r.getBoundingClientRect().bottom > element.getBoundingClientRect().top)
        const { offset } = row.dataset
        const top = () => element.querySelector(`[data-offset="${offset}"]`).getBoundingClientRect().top
        const start = top()
        let worst = 0
        while (rows().length === before) {
          await frame()
          worst = Math.max(worst, Math.abs(top() - start))
        }
        for (let i = 0; i < 10; i += 1) {
          await frame()
          worst = Math.max(worst, Math.abs(top() - start))
        }
        return worst
      })
      assert.ok(moved < 1, `it moved by ${moved} px`)
      const atStart = log.evaluate(async (element) => {
        while (!element.textContent.includes('The beginning of')) {
          element.scrollTop = 0
          await new Promise((resolve) => requestAnimationFrame(resolve))
        }
      })
      await within('the beginning of the room', atStart)
      assert.deepEqual((await logOf(page)).map((row) => row.offset), Array.from({ length: 130 }, (_, i) => i + 1))

      const talker = await openTab(world, `${server.url}/demo/chat?room=long`)
      await enter(talker.page, 'Bob')
      await write(talker.page, 'one more')
      await page.getByRole('button', { name: '1 new, press End' }).click()
      await page.waitForFunction(() => {
        const element = document.querySelector('[role=log]')
        return element.scrollHeight - element.clientHeight - element.scrollTop < 2
      })
      await page.getByText('press End').waitFor({ state: 'detached' })
      assert.deepEqual([...troubles, ...talker.troubles], [])
    },
  },

  {
    name: 'what others send is text, whatever it is',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const line = await Line.open(world.cleanup, `${server.ws}/ws`, ['trunkline.v1'])
      const evil = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
      const odd = [{ type: 'chat', text: evil, name: evil }, { evil }, evil, 42, false, [], { type: 'chat', text: 5 }]
      for (const [id, data] of odd.entries()) {
        line.send(JSON.stringify({ type: 'publish', id, channel: 'chat:lobby', data }))
        const answer = await line.next()
        assert.equal(JSON.parse(answer).type, 'published', answer)
      }
      line.send(JSON.stringify({ type: 'publish', id: 'b', channel: 'chat:lobby', binary: 'AAEC' }))
      const answer = await line.next()
      assert.equal(JSON.parse(answer).type, 'published', answer)
      const { page, troubles } = await openTab(world, `${server.url}/demo/chat`)
      await page.locator('[data-offset="8"]').waitFor()
      assert.equal(await page.title(), 'Chat · Trunkline')
      assert.equal(await page.locator('.message img, .message script').count(), 0)
      assert.equal(await page.locator('[data-offset="1"] .bubble > p').textContent(), evil)
      assert.match(await page.locator('[data-offset="2"] pre').textContent(), /"evil": "<img/)
      assert.equal(await page.locator('[data-offset="4"] pre').textContent(), '42')
      assert.equal(await page.locator('[data-offset="5"] pre').textContent(), 'false')
      assert.deepEqual(troubles, [])
    },
  },

  {
    name: 'two people beside each other on one page, and a wire that can be cut',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const { page, troubles } = await openTab(world, `${server.url}/demo/chat`, { viewport: { width: 1400, height: 800 } })
      await enter(page, 'Ann')
      await page.getByRole('button', { name: 'Add a second person' }).click()
      const [left, right] = [page.locator('.pane').first(), page.locator('.pane').last()]
      await right.getByLabel('Your name').fill('Bea')
      await page.keyboard.press('Enter')
      await right.getByText('Connected').waitFor()
      await page.getByRole('button', { name: 'Behind the scenes' }).click()
      await page.getByRole('region', { name: 'The wire of person 2' }).getByLabel('Go offline').check()
      await right.getByText('You are offline.').waitFor()
      await left.getByPlaceholder('Write a message').fill('Are you there?')
      await page.keyboard.press('Enter')
      await left.locator('[data-offset="1"]').waitFor()
      await right.getByPlaceholder('Write a message').fill('Written in the dark')
      await page.keyboard.press('Enter')
      await page.getByRole('region', { name: 'The wire of person 2' }).getByLabel('Go offline').uncheck()
      await right.locator('[data-offset="2"]').waitFor()
      await left.locator('[data-offset="2"]').waitFor()
      assert.equal(await right.locator('.message').count(), 2)
      assert.match(await page.locator('.frames').first().textContent(), /"type":"published"/)
      assert.doesNotMatch(await page.locator('.frames').first().textContent(), /"session":"[^…]/)
      assert.deepEqual(troubles, [])
    },
  },

  {
    name: 'the keyboard alone is enough',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const { page, troubles } = await openTab(world, `${server.url}/demo/chat`)
      await connected(page)
      const focus = async (name) => {
        for (let i = 0; i < 30; i += 1) {
          await page.keyboard.press('Tab')
          const at = await page.evaluate(() => document.activeElement?.labels?.[0]?.textContent ?? '')
          if (at.includes(name)) return
        }
        assert.fail(`Tab does not come to ${name}`)
      }
      await focus('Your name')
      await page.keyboard.type('Ann')
      await page.keyboard.press('Enter')
      await page.evaluate(() => document.activeElement?.blur())
      await page.keyboard.press('/')
      await page.keyboard.type('one')
      await page.keyboard.press('Shift+Enter')
      await page.keyboard.type('two')
      await page.keyboard.press('Enter')
      await page.locator('[data-offset="1"]').waitFor()
      assert.deepEqual(await logOf(page), [{ offset: 1, text: 'one\ntwo' }])
      assert.deepEqual(troubles, [])
    },
  },

  {
    name: 'nothing is wider than 360 pixels',
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      const wide = { type: 'chat', text: 'W'.repeat(500), name: 'N'.repeat(40) }
      const line = await Line.open(world.cleanup, `${server.ws}/ws`, ['trunkline.v1'])
      for (const data of [wide, { json: 'W'.repeat(500) }]) {
        line.send(JSON.stringify({ type: 'publish', id: 1, channel: 'chat:lobby', data }))
        await line.next()
      }
      for (const path of ['/', '/demo/', '/demo/chat', '/demo/chat?room=no%20room', `/demo/chat?room=${'r'.repeat(250)}`]) {
        const { page, troubles } = await openTab(world, server.url + path, { viewport: SMALL })
        await page.getByRole('heading', { level: 1 }).waitFor()
        if (path === '/demo/chat') await page.locator('[data-offset="2"]').waitFor()
        const widest = await page.evaluate(() => {
          const out = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
          const scrolls = (e) => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX)
          const inside = (e) => e !== null && e !== document.body && (scrolls(e) || inside(e.parentElement))
          return { page: document.documentElement.scrollWidth, out: out.filter((e) => !inside(e.parentElement)).map((e) => e.outerHTML.slice(0, 80)) }
        })
        assert.deepEqual(widest, { page: 360, out: [] }, path)
        const log = page.getByRole('log')
        if (await log.count()) assert.ok(await log.evaluate((e) => e.scrollWidth <= e.clientWidth), `${path}: the log scrolls sideways`)
        assert.deepEqual(troubles, [])
      }
    },
  },

  ...['light', 'dark'].map((colorScheme) => ({
    name: `axe finds nothing, ${colorScheme}`,
    needs,
    run: async (world) => {
      const server = await startServer(world.cleanup)
      await fill(world.cleanup, server, 'chat:lobby', 3)
      for (const path of ['/', '/demo/', '/demo/chat?room=no%20room', '/demo/chat?room=empty']) {
        const { page } = await openTab(world, server.url + path, { ...FOR_AXE, colorScheme })
        await page.getByRole('heading', { level: 1 }).waitFor()
        await noViolations(page, path)
      }
      for (const viewport of [SMALL, { width: 1400, height: 800 }]) {
        const { page } = await openTab(world, `${server.url}/demo/chat`, { ...FOR_AXE, colorScheme, viewport })
        await message(page, 'line 3').waitFor()
        await noViolations(page, 'without a name')
        await enter(page, 'Ann')
        await write(page, 'Hello')
        await page.locator('[data-offset]', { hasText: 'Hello' }).last().waitFor()
        await noViolations(page, 'loaded')
        await page.getByRole('button', { name: 'Change room' }).click()
        await page.getByLabel('Room', { exact: true }).fill('')
        await noViolations(page, 'choosing a room')
        await page.getByRole('button', { name: 'Cancel' }).click()
        await page.getByRole('button', { name: 'Behind the scenes' }).click()
        await page.getByLabel('Go offline').check()
        await page.getByText('You are offline.').waitFor()
        await noViolations(page, 'offline, behind the scenes')
        await page.keyboard.press('Escape')
        await write(page, 'x'.repeat(17_000))
        await write(page, 'Waiting')
        await message(page, 'Waiting to be sent').first().waitFor()
        await noViolations(page, 'offline, waiting')
      }
      const { page } = await openTab(world, `${server.url}/demo/chat`, { ...FOR_AXE, colorScheme })
      await enter(page, 'Ann')
      await write(page, 'x'.repeat(17_000))
      await message(page, 'Not sent').waitFor()
      await noViolations(page, 'a failed message')
      await server.program.kill()
      await page.getByText('The line is down.').waitFor()
      await noViolations(page, 'reconnecting')
    },
  })),
]
