// A world for the client to live in: a virtual clock, a network that delays and drops, and a server that
// keeps the delivery contract in its plainest form (one array). Not a server for anything but tests, and
// not a mock of our own code: the real `Client` runs in it.

import type { Entry, Host, Page, Position } from '../src/trunkline'

/** A small seeded generator (mulberry32): the same seed, the same run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Event {
  at: number
  order: number
  run: () => void
  cancelled?: boolean
}

export class World {
  now = 1_795_300_000_000
  readonly random: () => number
  readonly server: Server
  /** Every latency is drawn between these. */
  latency: [number, number] = [0, 0]
  /** The chance that a page is not answered. */
  pageLoss = 0
  online = true
  sockets: FakeSocket[] = []
  #events: Event[] = []
  #order = 0
  #tokens = 0

  constructor(seed = 1) {
    this.random = seeded(seed)
    this.server = new Server(this)
  }

  between(low: number, high: number): number {
    return low + this.random() * (high - low)
  }

  delay(): number {
    return this.between(...this.latency)
  }

  after(ms: number, run: () => void): Event {
    const event: Event = { at: this.now + Math.max(0, ms), order: this.#order++, run }
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#events[middle] as Event
      if (other.at < event.at || (other.at === event.at && other.order < event.order)) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
    return event
  }

  /** Lets `ms` pass: every event in its order, and after each what promises have waiting. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    await ticks()
    for (let event = this.#events[0]; event !== undefined && event.at <= end; event = this.#events[0]) {
      this.#events.shift()
      if (event.cancelled) continue
      this.now = event.at
      event.run()
      await ticks()
    }
    this.now = end
  }

  host(): Partial<Host> {
    const world = this
    return {
      WebSocket: class extends FakeSocket {
        constructor(url: string) {
          super(world, url)
        }
      } as unknown as Host['WebSocket'],
      fetch: (url, init) => this.#fetch(url, init?.signal),
      now: () => this.now,
      random: () => this.random(),
      token: () => `t${++this.#tokens}`,
      setTimeout: (run, ms) => this.after(ms, run),
      clearTimeout: (event) => {
        if (event) (event as Event).cancelled = true
      },
      isOnline: () => this.online,
    }
  }

  /** Cuts every line. */
  drop(code = 1006): void {
    for (const socket of [...this.sockets]) socket.cut(code)
  }

  #fetch(url: string, signal?: AbortSignal): Promise<Response> {
    const query = new URL(url).searchParams
    const bound = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined)
    return new Promise((resolve, reject) => {
      const fail = () => reject(new TypeError('no network'))
      signal?.addEventListener('abort', fail)
      if (!this.server.up || this.random() < this.pageLoss) {
        this.after(this.delay(), fail)
        return
      }
      this.after(this.delay(), () => {
        const page = this.server.page(bound('before'), bound('after'), Number(query.get('limit')))
        this.after(this.delay(), () => resolve({ ok: true, status: 200, json: async () => page } as Response))
      })
    })
  }
}

async function ticks(): Promise<void> {
  for (let tick = 0; tick < 8; tick += 1) await undefined
}

type Frame = Record<string, unknown>

/** Both ends of one line. What is on its way when it is cut is lost. */
export class FakeSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  /** What the client has sent, as the server got it. */
  readonly received: Frame[] = []
  session = ''
  followed = new Set<string>()
  /** When the last publish taken from it is stored. */
  stored = 0
  #free: Record<'in' | 'out', number> = { in: 0, out: 0 }

  constructor(
    readonly world: World,
    readonly url: string,
  ) {
    world.sockets.push(this)
    world.after(world.delay(), () => {
      if (this.readyState !== 0) return
      if (!world.server.up) {
        this.cut(1006)
        return
      }
      this.readyState = 1
      this.onopen?.()
    })
  }

  send(text: string): void {
    this.#travel('in', () => {
      const frame = JSON.parse(text) as Frame
      this.received.push(frame)
      this.world.server.take(this, frame)
    })
  }

  /** From the server to the client. */
  push(frame: Frame): void {
    const text = JSON.stringify(frame)
    this.#travel('out', () => this.onmessage?.({ data: text }))
  }

  close(): void {
    this.#end()
  }

  cut(code: number, reason = ''): void {
    if (this.readyState === 3) return
    this.#end()
    this.world.after(this.world.delay(), () => this.onclose?.({ code, reason }))
  }

  #end(): void {
    this.readyState = 3
    this.world.sockets = this.world.sockets.filter((other) => other !== this)
  }

  /** In order, each after its own latency. */
  #travel(way: 'in' | 'out', arrive: () => void): void {
    const { world } = this
    const at = Math.max(this.#free[way], world.now + world.delay())
    this.#free[way] = at
    world.after(at - world.now, () => {
      if (this.readyState === 1) arrive()
    })
  }
}

/** One channel, in the plainest form that keeps the contract. */
export class Server {
  up = true
  log: Entry[] = []
  epoch = 'e1'
  floor = 1
  replayMax = 500
  /** Whether entries of a page name their epoch only where it begins, as `message` does. */
  namesEpochs: 'always' | 'where it begins' = 'always'
  /** How long a publish takes at most before it is stored; a line that breaks meanwhile does not stop it. */
  storing = 0
  /** Overrides what a command is answered. */
  refuse: ((frame: Frame) => Frame | undefined) | undefined
  #keys = new Map<string, number>()
  #sessions = 0

  constructor(readonly world: World) {}

  get top(): number {
    return this.log.at(-1)?.offset ?? 0
  }

  take(socket: FakeSocket, frame: Frame): void {
    const { id, channel } = frame
    const refused = this.refuse?.(frame)
    if (refused) {
      socket.push({ id, channel, ...refused })
      return
    }
    if (frame.type === 'connect') this.#connect(socket, frame)
    else if (frame.type === 'subscribe') this.#subscribe(socket, frame)
    else if (frame.type === 'unsubscribe') {
      socket.followed.delete(String(channel))
      socket.push({ type: 'unsubscribed', id, channel })
    } else if (frame.type === 'publish') {
      this.#storeInOrder(socket, frame)
    } else if (frame.type === 'ping') socket.push({ type: 'pong', id, ts: this.world.now })
  }

  #connect(socket: FakeSocket, { id, session }: Frame): void {
    socket.session = typeof session === 'string' ? session : `s${++this.#sessions}`
    const user = `guest-${socket.session}`
    socket.push({
      type: 'welcome',
      id,
      client: user,
      user,
      session: socket.session,
      ping: 25_000,
      spread: 100,
      ts: this.world.now,
      limits: { message: 16_384 },
    })
  }

  #subscribe(socket: FakeSocket, { id, channel, since }: Frame): void {
    const replay = this.#placeOf(since as Position | undefined)
    const place = { offset: this.top, epoch: this.log.at(-1)?.epoch ?? this.epoch, floor: this.floor }
    socket.followed.add(String(channel))
    socket.push({ type: 'subscribed', id, channel, kind: 'log', ...place, ...replay.answer, can: ['publish'] })
    for (const entry of replay.entries) socket.push(this.#frameOf(entry))
  }

  #placeOf(since: Position | undefined): { answer: Frame; entries: Entry[] } {
    const lost = (reason: string, keep?: number) => ({ answer: { recovered: false, reason, keep }, entries: [] })
    if (since === undefined) return { answer: {}, entries: [] }
    const at = this.log.find((entry) => entry.offset === since.offset)
    if (since.offset >= this.floor && at?.epoch !== since.epoch) {
      return lost('rewound', this.log.findLast((entry) => entry.epoch === since.epoch)?.offset)
    }
    if (since.offset + 1 < this.floor) return lost('trimmed')
    const entries = this.log.filter((entry) => entry.offset > since.offset)
    if (entries.length > this.replayMax) return lost('limit')
    return { answer: { recovered: true, replay: entries.length }, entries }
  }

  #storeInOrder(socket: FakeSocket, frame: Frame): void {
    const at = Math.max(socket.stored, this.world.now + this.world.random() * this.storing)
    socket.stored = at
    const { epoch } = this
    this.world.after(at - this.world.now, () => epoch === this.epoch && this.#publish(socket, frame))
  }

  #publish(socket: FakeSocket, { id, channel, key, data }: Frame): void {
    if (!this.up) return
    const scoped = `${socket.session} ${key}`
    const known = key === undefined ? undefined : this.#keys.get(scoped)
    const answer = { type: 'published', id, channel, key, epoch: this.epoch, ts: this.world.now }
    if (known !== undefined) {
      socket.push({ ...answer, offset: known, dup: true })
      return
    }
    const offset = this.top + 1
    if (key !== undefined) this.#keys.set(scoped, offset)
    socket.push({ ...answer, offset })
    this.append(data, `guest-${socket.session}`, key as string | undefined)
  }

  /** Stores and announces. */
  append(data: unknown, from = 'guest-other', key?: string): Entry {
    const entry: Entry = { offset: this.top + 1, epoch: this.epoch, ts: this.world.now, from, key, data }
    this.log.push(entry)
    for (const socket of this.world.sockets) {
      if (socket.readyState === 1 && socket.followed.size > 0) socket.push(this.#frameOf(entry))
    }
    return entry
  }

  #frameOf(entry: Entry): Frame {
    return { type: 'message', channel: 'chat:lobby', ...this.#beginningOnly(entry) }
  }

  #itemOf(entry: Entry): Entry {
    return this.namesEpochs === 'always' ? { ...entry } : this.#beginningOnly(entry)
  }

  /** Only the first entry of an epoch names it. */
  #beginningOnly(entry: Entry): Entry {
    const before = this.log.find((other) => other.offset === entry.offset - 1)
    const { epoch, ...rest } = entry
    return before?.epoch === epoch ? rest : { ...rest, epoch }
  }

  page(before: number | undefined, after: number | undefined, limit: number): Page {
    const readable = this.log.filter((entry) => entry.offset >= this.floor)
    const inside = readable.filter((e) => e.offset < (before ?? Number.POSITIVE_INFINITY) && e.offset > (after ?? 0))
    const items = after === undefined ? inside.slice(-limit) : inside.slice(0, limit)
    const hi = items.at(-1)?.offset ?? (before === undefined ? this.top : before - 1)
    return {
      epoch: this.log.at(-1)?.epoch ?? this.epoch,
      top: this.top,
      lo: items[0]?.offset ?? hi + 1,
      hi,
      items: items.map((entry) => this.#itemOf(entry)),
      floor: this.floor,
      more: inside.length > items.length,
    }
  }

  /** The power fails: the newest `lose` entries are gone, and a new epoch begins. */
  crash(lose = 0): void {
    this.world.drop()
    this.log = this.log.slice(0, Math.max(0, this.log.length - lose))
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`
    for (const [key, offset] of this.#keys) if (offset > this.top) this.#keys.delete(key)
  }

  trim(floor: number): void {
    this.floor = floor
    this.log = this.log.filter((entry) => entry.offset >= floor || entry.offset === this.top)
  }
}
