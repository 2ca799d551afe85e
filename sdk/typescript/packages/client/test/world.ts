// A world for the client to live in: a virtual clock, a network that delays and drops, and a server that keeps the
// delivery contract in its plainest form (one array per channel). Not a server for anything but tests, and not a mock of
// our own code: the real client runs in it.

import type { Host } from '../src/host.js'
import { fold } from '../src/log.js'
import type { Message, Op, Page, Position } from '../src/types.js'

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
  online = true
  sockets: FakeSocket[] = []
  /** What would wake the client. */
  wakes = new Set<() => void>()
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

  host(): Host {
    const world = this
    return {
      WebSocket: class extends FakeSocket {
        constructor(url: string) {
          super(world, url)
        }
      } as unknown as Host['WebSocket'],
      fetch: () => Promise.reject(new TypeError('no network')),
      now: () => this.now,
      random: () => this.random(),
      token: () => `t${++this.#tokens}`,
      setTimeout: (run, ms) => this.after(ms, run),
      clearTimeout: (event) => {
        if (event) (event as Event).cancelled = true
      },
      isOnline: () => this.online,
      watch: (wake) => {
        this.wakes.add(wake)
        return () => void this.wakes.delete(wake)
      },
    }
  }

  /** Cuts every line. */
  drop(code = 1006): void {
    for (const socket of [...this.sockets]) socket.cut(code)
  }
}

export async function ticks(): Promise<void> {
  for (let tick = 0; tick < 12; tick += 1) await undefined
}

export type Frame = Record<string, unknown>

/** Both ends of one line. What is on its way when it is cut is lost. */
export class FakeSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  /** What the client has sent, as the server got it. */
  readonly received: Frame[] = []
  /** What arrives no more, in neither direction, while nobody notices. */
  isDead = false
  session = ''
  followed = new Set<string>()
  /** When the last publish taken from it is stored. */
  stored = 0
  readonly world: World
  readonly url: string
  #free: Record<'in' | 'out', number> = { in: 0, out: 0 }

  constructor(world: World, url: string) {
    this.world = world
    this.url = url
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
      if (this.readyState === 1 && !this.isDead) arrive()
    })
  }
}

/** One channel in the plainest form that keeps the contract: all that was published, references among it. */
export class Server {
  up = true
  log: Message[] = []
  /** What has been trimmed. */
  gone: Message[] = []
  epoch = 'e1'
  floor = 1
  replayMax = 500
  can = ['publish', 'history', 'presence']
  /** How long a publish takes at most before it is stored; a line that breaks meanwhile does not stop it. */
  storing = 0
  /** How long a page that was read may lie around before it is sent: what was published meanwhile overtakes it. */
  reading = 0
  /** How long after it is stored, and can be read, a publication is announced at most. */
  announcing = 0
  #announced = 0
  /** Overrides what a command is answered. */
  refuse: ((frame: Frame, socket: FakeSocket) => Frame | 'silence' | undefined) | undefined
  readonly world: World
  #keys = new Map<string, number>()
  #sessions = 0

  constructor(world: World) {
    this.world = world
  }

  get top(): number {
    return this.log.at(-1)?.offset ?? 0
  }

  take(socket: FakeSocket, frame: Frame): void {
    const { id, channel } = frame
    const refused = this.refuse?.(frame, socket)
    if (refused) {
      if (refused !== 'silence') socket.push({ id, channel, ...refused })
      return
    }
    if (frame.type === 'connect') this.#connect(socket, frame)
    else if (frame.type === 'subscribe') this.#subscribe(socket, frame)
    else if (frame.type === 'unsubscribe') {
      socket.followed.delete(String(channel))
      socket.push({ type: 'unsubscribed', id, channel })
    } else if (frame.type === 'publish') this.#storeInOrder(socket, frame)
    else if (frame.type === 'history') {
      const { before, after, limit } = frame as { before?: number; after?: number; limit?: number }
      const page = this.page(before, after, limit ?? 50)
      this.world.after(this.world.random() * this.reading, () => socket.push({ type: 'history', id, channel, ...page }))
    } else if (frame.type === 'ping') socket.push({ type: 'pong', id, ts: this.world.now })
  }

  #connect(socket: FakeSocket, { id, session, subscribe }: Frame): void {
    socket.session = typeof session === 'string' ? session : `s${++this.#sessions}`
    const user = `guest-${socket.session}`
    const more = { ping: 25_000, spread: 100, ts: this.world.now, limits: { message: 16_384 } }
    socket.push({ type: 'welcome', id, client: user, user, session: socket.session, ...more })
    for (const [channel, asked] of Object.entries((subscribe ?? {}) as Record<string, Frame>)) {
      const refused = this.refuse?.({ type: 'subscribe', channel, ...asked }, socket)
      if (!refused) this.#subscribe(socket, { channel, ...asked })
      else if (refused !== 'silence') socket.push({ channel, ...refused })
    }
  }

  #subscribe(socket: FakeSocket, { id, channel, since }: Frame): void {
    const replay = this.#placeOf(since as Position | undefined)
    const place = { offset: this.top, epoch: this.log.at(-1)?.epoch ?? this.epoch, floor: this.floor }
    socket.followed.add(String(channel))
    socket.push({ type: 'subscribed', id, channel, kind: 'log', ...place, ...replay.answer, can: this.can })
    for (const message of replay.messages) socket.push(this.#frameOf(message))
  }

  #placeOf(since: Position | undefined): { answer: Frame; messages: Message[] } {
    const lost = (reason: string, keep?: number) => ({ answer: { recovered: false, reason, keep }, messages: [] })
    if (since === undefined) return { answer: {}, messages: [] }
    const at = this.log.find((message) => message.offset === since.offset)
    if (since.offset >= this.floor && at?.epoch !== since.epoch) {
      return lost('rewound', this.log.findLast((message) => message.epoch === since.epoch)?.offset)
    }
    if (since.offset + 1 < this.floor) return lost('trimmed')
    const messages = this.log.filter((message) => message.offset > since.offset)
    if (messages.length > this.replayMax) return lost('limit')
    return { answer: { recovered: true, replay: messages.length }, messages }
  }

  #storeInOrder(socket: FakeSocket, frame: Frame): void {
    const at = Math.max(socket.stored, this.world.now + this.world.random() * this.storing)
    socket.stored = at
    const { epoch } = this
    this.world.after(at - this.world.now, () => {
      if (epoch === this.epoch) this.#publish(socket, frame)
      else
        socket.push({
          type: 'error',
          id: frame.id,
          channel: frame.channel,
          code: 'internal',
          message: 'the store failed',
        })
    })
  }

  #publish(socket: FakeSocket, { id, channel, key, data, ref, op }: Frame): void {
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
    this.append(data, `guest-${socket.session}`, { key, ref, op } as Partial<Message>)
  }

  /** Stores and announces. */
  append(data: unknown, from = 'guest-other', more: Partial<Message> = {}): Message {
    const message: Message = { offset: this.top + 1, epoch: this.epoch, ts: this.world.now, from, data, ...more }
    this.log.push(message)
    const frame = this.#frameOf(message)
    const { world } = this
    this.#announced = Math.max(this.#announced, world.now + world.random() * this.announcing)
    const told = world.sockets.filter((socket) => socket.readyState === 1 && socket.followed.size > 0)
    world.after(this.#announced - world.now, () => {
      for (const socket of told) socket.push(frame)
    })
    return message
  }

  /** Somebody edits, deletes, or reacts to one of the newest messages. */
  refer(op: Op, data: unknown): void {
    const targets = this.shown().slice(-20)
    const target = targets[Math.floor(this.world.random() * targets.length)]
    if (target && !target.deleted) this.append(data, 'guest-other', { ref: target.offset, op })
  }

  /** What can be read, with what references have made of it. */
  shown(): Message[] {
    const shown = new Map<number, Message>()
    for (const message of this.log) {
      if (message.ref === undefined) shown.set(message.offset, message)
      else {
        const target = shown.get(message.ref)
        if (target) shown.set(message.ref, fold(target, message))
      }
    }
    return [...shown.values()].filter((message) => message.offset >= this.floor)
  }

  #frameOf(message: Message): Frame {
    return { type: 'message', channel: 'chat:lobby', ...this.#beginningOnly(message) }
  }

  /** Only the first message of an epoch names it. */
  #beginningOnly(message: Message): Message {
    const before = this.log.find((other) => other.offset === message.offset - 1)
    const { epoch, ...rest } = message
    return before?.epoch === epoch ? rest : { ...rest, epoch }
  }

  page(before: number | undefined, after: number | undefined, limit: number): Page {
    const inside = this.shown().filter(
      (m) => m.offset < (before ?? Number.POSITIVE_INFINITY) && m.offset > (after ?? 0),
    )
    const items = after === undefined ? inside.slice(-limit) : inside.slice(0, limit)
    const more = inside.length > items.length
    const end = before === undefined ? this.top : Math.min(before - 1, this.top)
    // Up to the next message, or to the end, there are only references.
    const hi = after !== undefined && more ? (items.at(-1)?.offset ?? end) : end
    const lowest = after === undefined ? (more ? items[0]?.offset : Math.min(this.floor, hi + 1)) : after + 1
    const lo = lowest ?? hi + 1
    const epoch = this.log.at(-1)?.epoch ?? this.epoch
    const named = items.map((message) => this.#beginningOnly(message))
    return { epoch, top: this.top, lo, hi, items: named, floor: this.floor, more }
  }

  /** The power fails: the newest `lose` publications are gone, and a new epoch begins. */
  crash(lose = 0): void {
    this.world.drop()
    this.rewind(lose)
  }

  /** The same under the running server: who follows is told, before anything newer. */
  swap(lose = 0): void {
    this.rewind(lose)
    const { world, top, floor } = this
    const lost = {
      type: 'subscribed',
      channel: 'chat:lobby',
      kind: 'log',
      recovered: false,
      reason: 'rewound',
      keep: top,
    }
    const frame = { ...lost, offset: top, epoch: this.log.at(-1)?.epoch ?? this.epoch, floor, can: this.can }
    this.#announced = Math.max(this.#announced, world.now + world.random() * this.announcing)
    const told = world.sockets.filter((socket) => socket.readyState === 1 && socket.followed.size > 0)
    world.after(this.#announced - world.now, () => {
      for (const socket of told) socket.push(frame)
    })
  }

  rewind(lose: number): void {
    this.log = this.log.slice(0, Math.max(0, this.log.length - lose))
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`
    for (const [key, offset] of this.#keys) if (offset > this.top) this.#keys.delete(key)
  }

  trim(floor: number): void {
    this.floor = floor
    const stays = (message: Message) => message.offset >= floor || message.offset === this.top
    this.gone.push(...this.log.filter((message) => !stays(message)))
    this.log = this.log.filter(stays)
  }
}
