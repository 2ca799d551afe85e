// The property of the client's contract: whatever the network does, every view is a range of the log
// without a hole or a double, and in the quiet the client has all of it. The two ways in which chat
// programs are usually written fail in the same world, which shows that the world is hard enough.

import { expect, test } from 'vitest'
import { Client, type Draft, type Entry, type View } from '../src/trunkline'
import { type Server, World } from './world'

const RUNS = Number(process.env.SIMULATION_RUNS ?? 2_500)
const BUSY = 4_000
const CHANNEL = 'chat:lobby'

/** 26 messages a second, random latency, lines that break. */
function busyWorld(seed: number): World {
  const world = new World(seed)
  world.latency = [1, world.between(20, 400)]
  world.pageLoss = 0.1
  world.server.storing = 300
  world.server.namesEpochs = seed % 2 === 0 ? 'always' : 'where it begins'
  for (let i = 0; i < 60; i += 1) world.server.append(`old ${i}`)
  for (let at = 0; at < BUSY; at += world.between(0, 77)) world.after(at, () => world.server.append(`m ${at}`))
  return world
}

function breakLines(world: World, mean: number): void {
  for (let at = world.between(0, 2 * mean); at < BUSY; at += world.between(0, 2 * mean)) {
    world.after(at, () => world.drop())
  }
}

/** What every view must be at every moment. */
function faultIn(view: View, server: Server): string | undefined {
  for (const [index, entry] of view.entries.entries()) {
    if (entry.offset !== view.lo + index) return `hole or double at ${entry.offset}, expected ${view.lo + index}`
  }
  if (view.entries.length > 0 && view.entries.at(-1)?.offset !== view.head) return 'the range ends elsewhere'
  const last = view.entries.at(-1)
  const truth = server.log.find((entry) => entry.offset === last?.offset)
  return last && truth && truth.epoch === last.epoch && truth.data !== last.data ? 'another payload' : undefined
}

interface Outcome {
  fault?: string
  posted: string[]
  drafts: readonly Draft[]
  view: View
}

/** The real client, an author of about two messages a second who also scrolls up now and then. */
async function live(world: World, trouble: (world: World) => void): Promise<Outcome> {
  const client = new Client({ origin: 'http://x', host: world.host() })
  const channel = client.channel(CHANNEL)
  let fault: string | undefined
  channel.view.subscribe(() => {
    fault ??= faultIn(channel.view.get(), world.server)
  })
  channel.open()
  client.connect()
  const posted: string[] = []
  for (let at = 0; at < BUSY; at += world.between(0, 1_000)) {
    world.after(at, () => {
      posted.push(`mine ${posted.length}`)
      channel.post(posted.at(-1))
    })
  }
  const older = () => void channel.older().catch(() => undefined)
  for (let at = 0; at < BUSY; at += world.between(0, 1_500)) world.after(at, older)
  trouble(world)
  await world.pass(BUSY)
  world.pageLoss = 0
  await world.pass(60_000)
  for (let i = 0; i < 20 && channel.timeline.hasOlder; i += 1) {
    older()
    await world.pass(2_000)
  }
  return { fault, posted, drafts: channel.timeline.drafts, view: channel.timeline.view() }
}

function judge({ fault, posted, drafts, view }: Outcome, server: Server): string | undefined {
  const truth = server.log.filter((entry) => entry.offset >= server.floor)
  const mine = server.log.map((entry) => entry.data).filter((data) => String(data).startsWith('mine'))
  if (fault) return fault
  if (drafts.length > 0) return `a draft is left: ${JSON.stringify(drafts[0])}`
  if (view.head !== server.top) return `stopped at ${view.head} of ${server.top}`
  if (view.entries.length !== truth.length) return `${view.entries.length} of ${truth.length} entries`
  const other = (one?: string, two?: string) => one !== undefined && one !== two
  const differs = view.entries.findIndex((e, i) => e.data !== truth[i]?.data || other(e.epoch, truth[i]?.epoch))
  if (differs >= 0) return `entry ${view.entries[differs]?.offset} is not the log's`
  if (new Set(mine).size !== mine.length) return 'something is stored twice'
  return mine.length === posted.length ? undefined : `${mine.length} of ${posted.length} posts are stored`
}

async function faults(runs: number, run: (seed: number) => Promise<string | undefined>): Promise<string[]> {
  const found: string[] = []
  for (let seed = 1; seed <= runs; seed += 1) {
    const fault = await run(seed)
    if (fault) found.push(`seed ${seed}: ${fault}`)
  }
  return found
}

const STEADY = 120_000

test(`${RUNS} runs with latency and broken lines: nothing lost, nothing twice, own order kept`, {
  timeout: STEADY,
}, async () => {
  const found = await faults(RUNS, async (seed) => {
    const world = busyWorld(seed)
    const outcome = await live(world, (w) => breakLines(w, 700))
    const mine = world.server.log.map((entry) => entry.data).filter((data) => String(data).startsWith('mine'))
    const inOrder = mine.every((data, i) => data === outcome.posted[i])
    return judge(outcome, world.server) ?? (inOrder ? undefined : 'own messages are out of order')
  })
  expect(found.slice(0, 5)).toEqual([])
})

test('a replay of at most 3 entries: gaps are filled from pages', { timeout: STEADY }, async () => {
  const found = await faults(RUNS / 5, async (seed) => {
    const world = busyWorld(seed)
    world.server.replayMax = 3
    return judge(await live(world, (w) => breakLines(w, 700)), world.server)
  })
  expect(found.slice(0, 5)).toEqual([])
})

test('crashes that take back the last entries: told, dropped, own ones sent again', { timeout: STEADY }, async () => {
  const found = await faults(RUNS / 5, async (seed) => {
    const world = busyWorld(seed)
    const outcome = await live(world, (w) => {
      for (let i = 0; i < 2; i += 1) w.after(w.between(0, BUSY), () => w.server.crash(Math.floor(w.between(0, 15))))
    })
    return judge(outcome, world.server)
  })
  expect(found.slice(0, 5)).toEqual([])
})

/** What a chat program holds that is written the usual way: a list, and whatever arrives is added. */
async function usual(seed: number, order: 'fetch first' | 'subscribe first'): Promise<boolean> {
  const world = busyWorld(seed)
  const host = world.host() as Required<ReturnType<World['host']>>
  let list: Entry[] = []
  const fetchPage = async () => {
    const response = await host.fetch(`http://x/messages?limit=50`).catch(() => undefined)
    const page = (await response?.json()) as { items: Entry[] } | undefined
    if (page) list = page.items
  }
  const subscribe = () => {
    const socket = new host.WebSocket('ws://x', [])
    socket.onopen = () => socket.send(JSON.stringify({ type: 'subscribe', channel: CHANNEL, id: 1 }))
    socket.onmessage = (event) => {
      const frame = JSON.parse(event.data) as Entry & { type: string }
      if (frame.type === 'message') list = [...list, frame]
    }
    socket.onclose = () => world.after(200, subscribe)
  }
  world.pageLoss = 0
  if (order === 'fetch first') void fetchPage().then(subscribe)
  else {
    subscribe()
    world.after(50, () => void fetchPage())
  }
  world.after(world.between(0, BUSY * 2), () => world.drop())
  await world.pass(BUSY + 5_000)
  const offsets = list.map((entry) => entry.offset)
  const whole = offsets.every((offset, i) => i === 0 || offset === (offsets[i - 1] as number) + 1)
  return whole && offsets.at(-1) === world.server.top
}

test('the usual ways fail in the same world', { timeout: STEADY }, async () => {
  const wrong = { 'fetch first': 0, 'subscribe first': 0 }
  for (let seed = 1; seed <= 300; seed += 1) {
    if (!(await usual(seed, 'fetch first'))) wrong['fetch first'] += 1
    if (!(await usual(seed, 'subscribe first'))) wrong['subscribe first'] += 1
  }
  expect(wrong['fetch first']).toBeGreaterThan(300 * 0.5)
  expect(wrong['subscribe first']).toBeGreaterThan(300 * 0.2)
})
