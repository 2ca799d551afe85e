// The client of `trunkline.v1`: one connection (`Client`), and the log of each channel (`Timeline`).
// It knows nothing of React, pages or storage; an SDK will take its place. The contract it keeps is
// section 5 of the delivery contract: nothing silently missing, nothing twice, whatever the line does.
//
//   page code ── post, older ──▶ Channel ── commands ──▶ Client ── frames ──▶ WebSocket
//       ▲                           │                                            │
//       └── views ── Timeline ◀─────┴───── subscribed, message, published ◀──────┘
//
// `Timeline` is pure: no clock, no socket. `Client` takes both from its `Host`, so that a test can own time.

/** Every cap of this file. Times are in milliseconds. */
export const LIMITS = {
  /** A gap up to this many entries is filled; a wider one is jumped over and told. */
  backfill: 500,
  /** Entries that wait above a gap; beyond it they are dropped and fetched again later. */
  ahead: 5_000,
  /** Own acknowledged messages that are remembered, to be sent again should the log be rewound. */
  acked: 100,
  /** Messages that wait to be sent; `post` refuses one more. */
  drafts: 200,
  /** Publishes of one channel that wait for their answer at a time. */
  inFlight: 8,
  /** Entries of one history page. */
  page: 50,
  /** How long a connection may take to be welcomed, and a publish to be answered. */
  patience: 10_000,
  /** How long a probe waits for its pong. */
  probe: 3_000,
  backoffBase: 500,
  backoffMax: 20_000,
  /** A connection that was up this long was a good one: the backoff starts anew. */
  steady: 5_000,
  /** How long a channel that nobody looks at stays subscribed. */
  linger: 1_000,
  /** Views are renewed at most once in this time. */
  frame: 16,
} as const

export interface Position {
  epoch: string
  offset: number
}

/** One entry of a log, as pages and `message` frames carry it. */
export interface Entry {
  offset: number
  ts: number
  epoch?: string
  from?: string
  key?: string
  rev?: number
  data?: unknown
  text?: string
  binary?: string
}

/** All visible entries in `lo..=hi`, ascending (`lo = hi + 1`: none). */
export interface Page {
  epoch: string
  top: number
  lo: number
  hi: number
  items: Entry[]
  floor: number
  more: boolean
}

export interface Bound {
  before?: number
  after?: number
}

/**
 * What the author sees before the log has it:
 * waiting ──▶ sending ──▶ sent ──▶ (in the log)
 *    ▲           │ lost line
 *    └───────────┤
 *                └──▶ failed ──▶ waiting (retry)
 */
export interface Draft {
  id: string
  data: unknown
  /** When it was written. */
  at: number
  state: 'waiting' | 'sending' | 'sent' | 'failed'
  /** Given at the first attempt and kept through all others. */
  key?: string
  /** Where it stands, once the server has said so. */
  offset?: number
  epoch?: string
  ts?: number
  error?: { code: string; message: string }
  /** Came from an earlier life of the page: not sent before the newest page has been seen. */
  restored?: boolean
}

export interface Subscribed {
  epoch?: string
  offset?: number
  floor?: number
  recovered?: boolean
  reason?: 'limit' | 'trimmed' | 'rewound'
  keep?: number
}

export interface View {
  entries: readonly Entry[]
  drafts: readonly Draft[]
  /** A page of history has been seen, so that no entries means an empty room. */
  loaded: boolean
  hasOlder: boolean
  /** Changes when older pages must be asked for anew. */
  generation: number
  /** Entries that came while the client was away too long; they lie after `from`. */
  jump: { from: number; missed: number } | undefined
  lo: number
  head: number
}

/** The log of one channel as far as it is known: a range without holes, and what waits beside it. */
export class Timeline {
  generation = 0
  /** The server's log and this one differ below the head: `restart`, then subscribe anew. */
  forked = false
  #items: Entry[] = []
  #range: { lo: number; head: number } | undefined
  #headEpoch: string | undefined
  #ahead = new Map<number, Entry>()
  /** An offset that exists, lies above the head and is not going to be pushed: it must be fetched. */
  #known = 0
  /** Where the last subscribe stood; below it the client has not caught up. */
  #target = 0
  #streamEpoch: string | undefined
  #resync = false
  #floor = 1
  #atStart = false
  #loaded = false
  #jump: View['jump']
  #drafts: Draft[] = []
  #acked: Draft[] = []

  get head(): number {
    return this.#range?.head ?? 0
  }

  get lo(): number {
    return this.#range?.lo ?? 1
  }

  get drafts(): readonly Draft[] {
    return this.#drafts
  }

  /** A hole can never be drawn, so there is older only below `lo`. */
  get hasOlder(): boolean {
    return this.#range === undefined || (!this.#atStart && this.lo > Math.max(1, this.#floor))
  }

  /** From where to continue; `undefined` before the first subscribe. */
  get position(): Position | undefined {
    if (this.#range === undefined || !this.#headEpoch) return undefined
    return { epoch: this.#headEpoch, offset: this.head }
  }

  /** Everything up to the place of the last subscribe is here: what was unanswered can be judged. */
  get caughtUp(): boolean {
    return this.#range !== undefined && !this.#resync && this.head >= this.#target
  }

  /** What must be fetched for the live edge to go on; `{}` is the newest page. */
  get wants(): Bound | undefined {
    if (this.#resync) return {}
    return this.#range !== undefined && this.#known > this.head ? { after: this.head } : undefined
  }

  view(): View {
    return {
      entries: this.#items.slice(),
      drafts: this.#drafts.slice(),
      loaded: this.#loaded,
      hasOlder: this.hasOlder,
      generation: this.generation,
      jump: this.#jump,
      lo: this.lo,
      head: this.head,
    }
  }

  /** The answer to a subscribe, or the news of a rewind. `asked`: the position it was asked to continue. */
  subscribed(frame: Subscribed, asked?: Position): void {
    const place = frame.offset ?? 0
    const first = this.#range === undefined
    this.#floor = Math.max(this.#floor, frame.floor ?? 1)
    this.#target = place
    this.#streamEpoch = frame.recovered ? asked?.epoch : frame.epoch
    if (frame.recovered === false && !first) this.#notRecovered(frame, place)
    else if (first) this.#beginAt(place, frame.epoch)
    else if (asked === undefined && differ(this.#epochAt(place), frame.epoch)) this.forked = true
    // What lies between head and `place` is replayed if it could be recovered, else it is fetched.
    else this.#known = frame.recovered ? 0 : Math.max(this.#known, place)
    this.#settle()
  }

  #notRecovered(frame: Subscribed, place: number): void {
    if (frame.reason !== 'rewound') {
      this.#resync = true
      return
    }
    const keep = frame.keep
    this.generation += 1
    this.#ahead.clear()
    this.#resync = false
    this.#sendAgainAbove(keep ?? -1)
    if (keep === undefined || keep < this.lo) {
      this.#items = []
      this.#jump = undefined
      this.#beginAt(place, frame.epoch)
      return
    }
    this.#items = this.#items.filter((entry) => entry.offset <= keep)
    this.#range = { lo: this.lo, head: Math.min(this.head, keep) }
    this.#headEpoch = place === keep ? frame.epoch : this.#items.at(-1)?.epoch
    this.#known = place
  }

  /** What the log has lost of one's own is sent again, under the keys it had. */
  #sendAgainAbove(keep: number): void {
    const lost = this.#acked.filter((draft) => (draft.offset ?? 0) > keep)
    this.#acked = this.#acked.filter((draft) => (draft.offset ?? 0) <= keep)
    if (lost.length === 0) return
    const again = lost.map(({ id, data, at, key }): Draft => ({ id, data, at, key, state: 'waiting' }))
    this.#drafts = [...again, ...this.#drafts.filter((draft) => !lost.some((other) => other.id === draft.id))]
  }

  #beginAt(place: number, epoch: string | undefined): void {
    this.#range = { lo: place + 1, head: place }
    this.#headEpoch = epoch
    this.#known = 0
    this.#atStart = false
  }

  /** Forgets the log, not the drafts: when the head's epoch is not known, nothing can be continued. */
  restart(): void {
    if (this.forked) this.#sendAgainAbove(-1)
    this.forked = false
    this.generation += 1
    this.#items = []
    this.#range = undefined
    this.#headEpoch = undefined
    this.#ahead.clear()
    this.#known = 0
    this.#resync = false
    this.#loaded = false
    this.#atStart = false
    this.#jump = undefined
  }

  /** A live or replayed entry. */
  message(entry: Entry): void {
    this.#streamEpoch = entry.epoch ?? this.#streamEpoch
    this.#endDraft(entry)
    if (this.#range === undefined || !(entry.offset > 0)) return
    if (entry.offset <= this.head) {
      if (differ(this.#epochAt(entry.offset), this.#streamEpoch)) this.forked = true
      this.#replace(entry)
      return
    }
    if (this.#ahead.size >= LIMITS.ahead) this.#ahead.clear()
    this.#ahead.set(entry.offset, this.#streamEpoch ? { ...entry, epoch: this.#streamEpoch } : entry)
    if (entry.offset > this.head + 1) this.#known = Math.max(this.#known, entry.offset)
    this.#settle()
  }

  /** A page asked for in `generation`. False: it does not touch the range, or is of an older log. */
  page(page: Page, bound: Bound, generation: number): boolean {
    if (generation !== this.generation) return false
    this.#floor = Math.max(this.#floor, page.floor)
    if (bound.before !== undefined && !page.more && page.hi < page.lo) {
      this.#atStart = true
      this.#loaded = true
      return true
    }
    const items = withEpochs(page)
    const touches = this.#range === undefined || (page.lo <= this.head + 1 && page.hi >= this.lo - 1)
    if (!touches) return this.#apart(page, items, bound)
    if (!this.#agrees(page, items)) {
      this.forked = bound.after !== undefined
      return false
    }
    if (this.#resync && bound.before === undefined) {
      this.#resync = false
      this.#known = Math.max(this.#known, this.#target)
    }
    this.#unite(page, items)
    if (bound.after === undefined && !page.more) this.#atStart = true
    this.#settle()
    return true
  }

  /**
   * A page may have been read from the log before or after a rewind of which the line has not told yet.
   * Epochs tell: two entries at one offset are one only if their epochs are.
   */
  #agrees(page: Page, items: Entry[]): boolean {
    if (items.some((entry) => differ(this.#epochAt(entry.offset), entry.epoch))) return false
    if (this.head === 0 || page.hi !== page.top || page.hi < this.head) return true
    // Whoever begins an epoch names it, so what follows the head without a name is of the head's.
    const begun = page.items.findLast((entry) => entry.offset > this.head && entry.epoch !== undefined)
    return !differ(begun?.epoch ?? this.#headEpoch, page.epoch)
  }

  #epochAt(offset: number): string | undefined {
    if (offset === 0) return undefined
    if (offset === this.head) return this.#headEpoch
    return this.#items.findLast((entry) => entry.offset === offset)?.epoch
  }

  #unite(page: Page, items: Entry[]): void {
    const { lo, head } = this.#range ?? { lo: page.lo, head: page.lo - 1 }
    for (const entry of items) if (entry.offset >= lo && entry.offset <= head) this.#replace(entry)
    const older = items.filter((entry) => entry.offset < lo)
    const newer = items.filter((entry) => entry.offset > head)
    this.#items = [...older, ...this.#items, ...newer]
    if (page.hi > head) {
      this.#headEpoch =
        page.hi === page.top
          ? page.epoch
          : (newer.at(-1)?.epoch ?? (newer.length > 0 && lo > head ? undefined : this.#headEpoch))
    }
    this.#range = { lo: Math.min(lo, page.lo), head: Math.max(head, page.hi) }
    this.#loaded = true
    for (const entry of items) this.#endDraft(entry)
  }

  /** A page with a hole between it and the range: back-fill, jump, or leave it. */
  #apart(page: Page, items: Entry[], bound: Bound): boolean {
    if (bound.before !== undefined || page.lo <= this.head + 1) return false
    if (bound.after !== undefined) {
      // What followed the head has been trimmed meanwhile.
      this.#resync = true
      return true
    }
    if (!this.#resync) return false
    this.#resync = false
    const missed = page.lo - 1 - this.head
    if (missed <= LIMITS.backfill && this.head + 1 >= this.#floor) {
      this.#known = Math.max(this.#known, page.hi)
      return true
    }
    this.#jump = { from: this.head, missed }
    this.generation += 1
    this.#items = []
    this.#range = undefined
    this.#atStart = !page.more
    this.#unite(page, items)
    this.#known = this.#target
    this.#settle()
    return true
  }

  /** Takes over what has become contiguous. */
  #settle(): void {
    if (this.#range === undefined) return
    let next = this.#ahead.get(this.head + 1)
    while (next !== undefined) {
      this.#items.push(next)
      this.#range.head = next.offset
      this.#headEpoch = next.epoch ?? this.#headEpoch
      next = this.#ahead.get(this.head + 1)
    }
    for (const offset of this.#ahead.keys()) if (offset <= this.head) this.#ahead.delete(offset)
    const covered = this.#drafts.filter((draft) => draft.offset !== undefined && draft.offset <= this.head)
    for (const draft of covered) {
      // Another epoch at its place: what was acknowledged is lost, though the head never was that far.
      if (!differ(this.#epochAt(draft.offset ?? 0), draft.epoch)) this.remove(draft.id)
      else this.change(draft.id, { state: 'waiting', offset: undefined, epoch: undefined })
    }
  }

  /** Of two copies the higher revision wins. */
  #replace(entry: Entry): void {
    if (!entry.rev) return
    const at = this.#items.findLastIndex((held) => held.offset === entry.offset)
    const held = this.#items[at]
    if (held && entry.rev > (held.rev ?? 0)) this.#items[at] = { ...entry, epoch: held.epoch }
  }

  /** Forgets the oldest rows beyond `keep`; they can be loaded again. */
  trim(keep: number): void {
    const first = this.#items[this.#items.length - keep]
    if (first === undefined || this.#range === undefined) return
    this.#items = this.#items.slice(-keep)
    this.#range.lo = first.offset
    this.#atStart = false
  }

  // Drafts: matched by key, never by text.

  add(draft: Draft): boolean {
    if (this.#drafts.length >= LIMITS.drafts) return false
    this.#drafts = [...this.#drafts, draft]
    return true
  }

  /** The drafts that may be sent now, in the order they were written. */
  sendable(): Draft[] {
    if (!this.caughtUp) return []
    const waiting = this.#drafts.filter((draft) => draft.state === 'waiting')
    const blocked = waiting.findIndex((draft) => draft.restored && draft.key !== undefined && !this.#loaded)
    return blocked < 0 ? waiting : waiting.slice(0, blocked)
  }

  change(id: string, change: Partial<Draft>): void {
    this.#drafts = this.#drafts.map((draft) => (draft.id === id ? { ...draft, ...change } : draft))
  }

  remove(id: string): Draft | undefined {
    const draft = this.#drafts.find((other) => other.id === id)
    this.#drafts = this.#drafts.filter((other) => other.id !== id)
    return draft
  }

  /** The server has it. It stays visible as sent until the log's own copy is here. */
  acknowledged(id: string, at: { offset?: number; epoch?: string; ts?: number }): void {
    const draft = this.#drafts.find((other) => other.id === id)
    if (!draft) return
    const sent: Draft = { ...draft, state: 'sent', ...at, error: undefined }
    this.#remember(sent)
    if (at.offset === undefined || at.offset <= this.head) this.remove(id)
    else this.change(id, sent)
  }

  /** The line is lost: whether the unanswered ones are stored is not known; their keys will tell. */
  lost(): void {
    if (!this.#drafts.some((draft) => draft.state === 'sending')) return
    this.#drafts = this.#drafts.map((draft) => (draft.state === 'sending' ? { ...draft, state: 'waiting' } : draft))
  }

  /** Whether this client has written the entry, as far as it remembers. */
  #endDraft(entry: Entry): void {
    if (entry.key === undefined || this.#drafts.length === 0) return
    const draft = this.#drafts.find((other) => other.key === entry.key)
    if (!draft) return
    this.remove(draft.id)
    this.#remember({ ...draft, state: 'sent', offset: entry.offset, ts: entry.ts })
  }

  #remember(draft: Draft): void {
    this.#acked = [...this.#acked.filter((other) => other.id !== draft.id), draft].slice(-LIMITS.acked)
  }
}

/** Entries need name their epoch only where a new one begins; here each gets its own as far as it is known. */
function withEpochs(page: Page): Entry[] {
  const unnamed = page.items.every((entry) => entry.epoch === undefined)
  let epoch = unnamed && page.hi === page.top ? page.epoch : undefined
  return page.items.map((entry) => {
    epoch = entry.epoch ?? epoch
    return epoch === entry.epoch ? entry : { ...entry, epoch }
  })
}

/** Both are known, and they are not the same. */
function differ(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && one !== other
}

/** What went wrong, with the stable code the server gives. */
export class TrunklineError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retry?: number,
  ) {
    super(message)
  }
}

export type Connection =
  | { state: 'idle'; ever: boolean }
  | { state: 'connecting' | 'waiting' | 'offline'; ever: boolean; since: number; retryAt?: number; attempt: number }
  | { state: 'online'; ever: true; since: number }
  | { state: 'closed'; ever: boolean; code: number; reason: string }

export type ChannelStatus =
  | { state: 'subscribing' | 'live' | 'resyncing' }
  | { state: 'denied'; error: { code: string; message: string } }

/** A value that can be watched; fits `useSyncExternalStore`. */
export class Store<T> {
  #listeners = new Set<() => void>()
  constructor(private value: T) {}
  get = (): T => this.value
  set(value: T): void {
    this.value = value
    for (const listener of [...this.#listeners]) listener()
  }
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** What the world gives a client: sockets, pages, time and chance. */
export interface Host {
  WebSocket: new (url: string, protocols: string[]) => WebSocket
  fetch: (url: string, init?: { signal?: AbortSignal }) => Promise<Response>
  now(): number
  random(): number
  /** The random part of a key, unguessable enough never to repeat. */
  token(): string
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  isOnline(): boolean
}

export interface ClientOptions {
  /** The server, as `http://host:port`. */
  origin: string
  /** The secret of an earlier session, to be the same guest again. */
  session?: string
  host?: Partial<Host>
  /** A session has been given; keep its secret where only this page finds it. */
  onSession?: (session: string) => void
  /** The drafts of a channel have changed; keep them, so that a reload loses none. */
  onDrafts?: (channel: string, drafts: readonly Draft[]) => void
  /** Every frame on the wire, as text. */
  onFrame?: (direction: 'in' | 'out', text: string) => void
}

/** Whether a client must not come back by itself after this close code. */
export function isFinal(code: number): boolean {
  return (code >= 4400 && code <= 4499) || [1002, 1003, 1007, 1009, 1010].includes(code)
}

/** Full jitter: anywhere between at once and a bound that doubles with each attempt. */
export function backoff(attempt: number, random: number): number {
  return random * Math.min(LIMITS.backoffMax, LIMITS.backoffBase * 2 ** attempt)
}

type Frame = Record<string, unknown> & { type?: string }
type Answer = (frame: Frame) => void

/** One line to the server, kept up for as long as it is wanted. */
export class Client {
  readonly connection: Store<Connection>
  readonly who = new Store<{ user?: string; client?: string }>({})
  readonly host: Host
  readonly options: ClientOptions
  /** The largest payload the server takes, in bytes; `undefined` while not known. */
  messageSizeMax: number | undefined
  #channels = new Map<string, Channel>()
  #socket: WebSocket | undefined
  #session: string | undefined
  #answers = new Map<number, Answer>()
  #lastId = 0
  #attempt = 0
  #lostAt: number | undefined
  #heardAt = 0
  #skew = 0
  #spread: number | undefined
  #retryHint: number | undefined
  #pingEvery = 25_000
  #timers: { retry?: unknown; patience?: unknown; idle?: unknown; probe?: unknown; leave?: unknown } = {}

  constructor(options: ClientOptions) {
    this.options = options
    this.host = { ...browserHost(), ...options.host }
    this.#session = options.session
    this.connection = new Store<Connection>({ state: 'idle', ever: false })
  }

  get #ever(): boolean {
    return this.connection.get().ever
  }

  get isOnline(): boolean {
    return this.connection.get().state === 'online'
  }

  /** Messages that the server has not acknowledged yet, over all channels. */
  get pending(): number {
    return [...this.#channels.values()].reduce((sum, channel) => sum + channel.unsent, 0)
  }

  channel(name: string): Channel {
    const known = this.#channels.get(name)
    if (known) return known
    const channel = new Channel(this, name)
    this.#channels.set(name, channel)
    return channel
  }

  connect(): void {
    const { state } = this.connection.get()
    if (state === 'idle' || state === 'closed') this.#open()
  }

  /** Ends the connection; drafts and timelines stay. */
  disconnect(): void {
    this.#cut()
    this.#lostAt = undefined
    this.connection.set({ state: 'idle', ever: this.#ever })
  }

  /** Begins anew as another guest, after a final close. */
  startOver(): void {
    this.#cut()
    this.#session = undefined
    this.#open()
  }

  /** Something has changed in the world: do not wait, and do not trust a line that looks open. */
  wake(): void {
    const { state } = this.connection.get()
    if (state === 'waiting' || state === 'offline') this.#open()
    else if (state === 'online') this.#probe()
  }

  /** Drops the line as a broken network would. */
  drop(): void {
    if (this.#socket) this.#lost(1006, '')
  }

  /** The server's time, as far as it is known; keys are dated by it. */
  serverNow(): number {
    return this.host.now() + this.#skew
  }

  /** A page of history over HTTP. */
  async page(channel: string, bound: Bound, signal?: AbortSignal): Promise<Page> {
    const query = new URLSearchParams({ limit: String(LIMITS.page) })
    if (bound.before !== undefined) query.set('before', String(bound.before))
    if (bound.after !== undefined) query.set('after', String(bound.after))
    const url = `${this.options.origin}/api/v1/channels/${encodeURIComponent(channel)}/messages?${query}`
    const response = await this.host.fetch(url, { signal })
    const body: unknown = await response.json().catch(() => undefined)
    if (!response.ok) {
      const problem = (body ?? {}) as { code?: string; detail?: string; title?: string; retry?: number }
      const message = problem.detail ?? problem.title ?? `The server answered ${response.status}.`
      throw new TrunklineError(problem.code ?? `http_${response.status}`, message, problem.retry)
    }
    const page = body as Page | undefined
    if (!page || !Array.isArray(page.items))
      throw new TrunklineError('internal', 'The answer is not a page of history.')
    return page
  }

  /** Sends a command; `answer` gets its reply or its error, and nothing if the line is lost first. */
  send(command: Frame, answer?: Answer): void {
    const id = ++this.#lastId
    if (answer) this.#answers.set(id, answer)
    this.#write(answer ? { ...command, id } : command)
  }

  /** Asks whether the line still carries anything, and drops it if not. */
  probe(): void {
    this.#probe()
  }

  #write(frame: Frame): void {
    if (this.#socket?.readyState !== 1) return
    const text = JSON.stringify(frame)
    this.options.onFrame?.('out', text)
    this.#socket.send(text)
  }

  #open(): void {
    this.#cut()
    this.#lostAt ??= this.host.now()
    this.connection.set({ state: 'connecting', ever: this.#ever, since: this.#lostAt, attempt: this.#attempt })
    let socket: WebSocket
    try {
      socket = new this.host.WebSocket(`${this.options.origin.replace(/^http/, 'ws')}/ws`, ['trunkline.v1'])
    } catch {
      this.#later()
      return
    }
    this.#socket = socket
    this.#timers.patience = this.host.setTimeout(() => this.#lost(1006, ''), LIMITS.patience)
    socket.onopen = () => socket === this.#socket && this.#greet()
    socket.onmessage = (event) => socket === this.#socket && this.#heard(event.data)
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code, event.reason)
  }

  #greet(): void {
    const session = this.#session
    const connect: Frame = session === undefined ? { type: 'connect' } : { type: 'connect', session }
    this.send(connect, (frame) => {
      if (frame.type === 'welcome') this.#welcomed(frame)
      else {
        const { code, retry } = problemOf(frame)
        this.#retryHint = retry
        // A secret that the server does not know (any more) is no reason to stay away.
        if (code === 'bad_request' || code === 'unauthorized') this.#session = undefined
        this.#lost(1006, '')
      }
    })
  }

  #welcomed(frame: Frame): void {
    const { clearTimeout } = this.host
    clearTimeout(this.#timers.patience)
    this.#skew = typeof frame.ts === 'number' ? frame.ts - this.host.now() : 0
    this.#spread = typeof frame.spread === 'number' ? frame.spread : undefined
    this.#pingEvery = Math.min(60_000, Math.max(5_000, typeof frame.ping === 'number' ? frame.ping : 25_000))
    this.messageSizeMax = sizeLimit(frame.limits)
    if (typeof frame.session === 'string') {
      this.#session = frame.session
      this.options.onSession?.(frame.session)
    }
    this.#lostAt = undefined
    this.who.set({ user: text(frame.user), client: text(frame.client) })
    this.connection.set({ state: 'online', ever: true, since: this.host.now() })
    this.#watch()
    for (const channel of this.#channels.values()) channel.lineUp()
  }

  #heard(data: unknown): void {
    this.#heardAt = this.host.now()
    this.host.clearTimeout(this.#timers.probe)
    this.#timers.probe = undefined
    if (typeof data !== 'string') return
    this.options.onFrame?.('in', data)
    let frame: unknown
    try {
      frame = JSON.parse(data)
    } catch {
      return
    }
    if (frame !== null && typeof frame === 'object') this.#take(frame as Frame)
  }

  #take(frame: Frame): void {
    const answer = typeof frame.id === 'number' ? this.#answers.get(frame.id) : undefined
    if (answer) {
      this.#answers.delete(frame.id as number)
      answer(frame)
      return
    }
    if (frame.type === 'ping') this.#write({ type: 'pong' })
    else if (frame.type === 'goaway') this.#leave(Number(frame.within) || 0)
    else if (typeof frame.channel === 'string') this.#channels.get(frame.channel)?.take(frame)
    else if (frame.type === 'error' && typeof frame.retry === 'number') this.#retryHint = frame.retry
  }

  /** Silence for a whole ping interval is asked about. */
  #watch(): void {
    this.host.clearTimeout(this.#timers.idle)
    this.#timers.idle = this.host.setTimeout(() => {
      if (this.host.now() - this.#heardAt >= this.#pingEvery) this.#probe()
      this.#watch()
    }, this.#pingEvery)
  }

  #probe(): void {
    if (!this.isOnline || this.#timers.probe !== undefined) return
    this.send({ type: 'ping' }, () => undefined)
    this.#timers.probe = this.host.setTimeout(() => this.#lost(1006, ''), LIMITS.probe)
  }

  /** The server is about to end: go at a moment of one's own. What is unanswered then is sent again. */
  #leave(within: number): void {
    if (this.#timers.leave !== undefined) return
    this.#timers.leave = this.host.setTimeout(() => this.#open(), this.host.random() * within)
  }

  #lost(code: number, reason: string): void {
    const connection = this.connection.get()
    const now = this.host.now()
    const wasSteady = connection.state === 'online' && now - connection.since >= LIMITS.steady
    if (wasSteady) this.#attempt = 0
    if (connection.state === 'online') this.#lostAt = now
    this.#cut()
    if (isFinal(code)) {
      this.connection.set({ state: 'closed', ever: this.#ever, code, reason })
      return
    }
    this.#later(wasSteady ? this.#spread : undefined)
  }

  #later(spread?: number): void {
    const { now, random, setTimeout } = this.host
    const jittered = spread === undefined ? backoff(this.#attempt, random()) : random() * spread
    const delay = this.#retryHint ?? jittered
    this.#retryHint = undefined
    this.#attempt += 1
    this.connection.set({
      state: this.host.isOnline() ? 'waiting' : 'offline',
      ever: this.#ever,
      since: this.#lostAt ?? now(),
      retryAt: now() + delay,
      attempt: this.#attempt,
    })
    this.#timers.retry = setTimeout(() => this.#open(), delay)
  }

  /** Lets go of the socket without waiting for it: a dead one may never answer. */
  #cut(): void {
    for (const timer of Object.values(this.#timers)) this.host.clearTimeout(timer)
    this.#timers = {}
    this.#answers.clear()
    const socket = this.#socket
    this.#socket = undefined
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close()
    }
    for (const channel of this.#channels.values()) channel.lineDown()
  }
}

/** A channel as this client follows it: its timeline, its drafts on their way, its pages. */
export class Channel {
  readonly timeline = new Timeline()
  readonly view: Store<View>
  readonly status = new Store<ChannelStatus>({ state: 'subscribing' })
  readonly #client: Client
  readonly name: string
  #users = 0
  #place: 'outside' | 'asking' | 'inside' = 'outside'
  #asked: Position | undefined
  #filling = false
  #failures = 0
  /** After a refusal that names a time to wait, publishes go one by one until the queue is empty. */
  #careful = false
  #timers: { linger?: unknown; again?: unknown; hold?: unknown; view?: unknown } = {}
  #shownAt = Number.NEGATIVE_INFINITY
  #keptDrafts: readonly Draft[]

  constructor(client: Client, name: string) {
    this.#client = client
    this.name = name
    this.view = new Store(this.timeline.view())
    this.#keptDrafts = this.timeline.drafts
  }

  get unsent(): number {
    return this.timeline.drafts.filter((draft) => draft.state === 'waiting' || draft.state === 'sending').length
  }

  get #wanted(): boolean {
    return this.#users > 0 || this.unsent > 0
  }

  /** Follows the channel until the returned function is called; counted, so several may. */
  open(): () => void {
    this.#users += 1
    this.#client.host.clearTimeout(this.#timers.linger)
    this.#join()
    let released = false
    return () => {
      if (released) return
      released = true
      this.#users -= 1
      this.#lingerOn()
    }
  }

  #lingerOn(): void {
    this.#client.host.clearTimeout(this.#timers.linger)
    this.#timers.linger = this.#client.host.setTimeout(() => {
      if (this.#wanted || this.#place === 'outside') return
      this.#place = 'outside'
      this.status.set({ state: 'subscribing' })
      this.timeline.trim(LIMITS.page)
      this.#client.send({ type: 'unsubscribe', channel: this.name })
    }, LIMITS.linger)
  }

  /** Writes a message. False if too many wait already; nothing is taken then. */
  post(data: unknown): boolean {
    const { host } = this.#client
    const added = this.timeline.add({ id: host.token(), data, at: host.now(), state: 'waiting' })
    this.#moved()
    return added
  }

  /** Takes up drafts that an earlier life of the page has kept. */
  restore(drafts: readonly Draft[]): void {
    const held = new Set(this.timeline.drafts.map((draft) => draft.id))
    for (const draft of drafts) {
      if (held.has(draft.id)) continue
      const state = draft.state === 'failed' ? 'failed' : 'waiting'
      this.timeline.add({ ...draft, state, offset: undefined, restored: true })
    }
    this.#join()
    this.#moved()
  }

  retry(id: string): void {
    const draft = this.timeline.drafts.find((other) => other.id === id)
    if (draft?.state !== 'failed') return
    const key = draft.error?.code === 'key_expired' ? undefined : draft.key
    this.timeline.change(id, { state: 'waiting', error: undefined, key })
    this.#moved()
  }

  /** Takes a failed draft back. */
  discard(id: string): unknown {
    const draft = this.timeline.remove(id)
    this.#moved()
    return draft?.data
  }

  /** Loads the page below what is held; the first one is the newest. Feeds the timeline by itself. */
  async older(signal?: AbortSignal): Promise<{ lo: number; more: boolean }> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const { generation } = this.timeline
      const bound = this.timeline.position ? { before: this.timeline.lo } : {}
      if (bound.before === 1) return { lo: 1, more: false }
      const page = await this.#client.page(this.name, bound, signal)
      const merged = this.timeline.page(page, bound, generation)
      this.#moved()
      if (merged) return { lo: page.lo, more: this.timeline.hasOlder }
    }
    throw new TrunklineError('not_available', 'The room changes too quickly to be read right now.')
  }

  /** Forgets rows that have scrolled far out of sight. */
  trim(keep: number): void {
    this.timeline.trim(keep)
    this.#moved()
  }

  // Called by the client.

  lineUp(): void {
    this.#join()
  }

  lineDown(): void {
    const { clearTimeout } = this.#client.host
    clearTimeout(this.#timers.again)
    clearTimeout(this.#timers.hold)
    this.#timers.hold = undefined
    this.#place = 'outside'
    this.timeline.lost()
    if (this.status.get().state !== 'denied') this.status.set({ state: 'subscribing' })
    this.#moved()
  }

  take(frame: Frame): void {
    if (frame.type === 'message') {
      this.timeline.message(frame as unknown as Entry)
      this.#moved()
    } else if (frame.type === 'subscribed') this.#joined(frame)
    else if (frame.type === 'unsubscribed' && this.#place !== 'outside') this.#refused(frame)
  }

  #join(): void {
    if (!this.#wanted || this.#place !== 'outside' || !this.#client.isOnline) return
    this.#place = 'asking'
    const { timeline } = this
    if (timeline.position === undefined && timeline.head > 0) timeline.restart()
    this.#asked = timeline.position
    const command: Frame = { type: 'subscribe', channel: this.name }
    if (this.#asked) command.since = this.#asked
    this.#client.send(command, (frame) => (frame.type === 'subscribed' ? this.#joined(frame) : this.#refused(frame)))
  }

  #beginAgain(): void {
    this.timeline.restart()
    this.#place = 'outside'
    this.#join()
  }

  #joined(frame: Frame): void {
    this.#failures = 0
    this.#place = 'inside'
    this.timeline.subscribed(frame as Subscribed, this.#asked)
    this.#asked = undefined
    this.#moved()
  }

  #refused(frame: Frame): void {
    this.#place = 'outside'
    const error = problemOf(frame)
    const passes =
      error.retry !== undefined || ['not_available', 'timeout', 'internal', 'draining'].includes(error.code)
    if (!passes) {
      this.status.set({ state: 'denied', error })
      return
    }
    const { host } = this.#client
    const delay = error.retry ?? backoff(this.#failures, host.random())
    this.#failures += 1
    host.clearTimeout(this.#timers.again)
    this.#timers.again = host.setTimeout(() => this.#join(), delay)
  }

  /** Something has changed: show it, fetch what is missing, send what waits. */
  #moved(): void {
    if (this.timeline.forked) this.#beginAgain()
    this.#fill()
    this.#flush()
    this.#settleStatus()
    this.#show()
    if (this.timeline.drafts !== this.#keptDrafts) {
      this.#keptDrafts = this.timeline.drafts
      this.#client.options.onDrafts?.(this.name, this.#keptDrafts)
      if (!this.#wanted) this.#lingerOn()
    }
  }

  #settleStatus(): void {
    const { state } = this.status.get()
    const now = this.#place !== 'inside' ? state : this.timeline.caughtUp ? 'live' : 'resyncing'
    if (now !== state && now !== 'denied') this.status.set({ state: now })
  }

  /** At most one renewed view per frame. */
  #show(): void {
    const { host } = this.#client
    if (this.#timers.view !== undefined) return
    const show = () => {
      this.#timers.view = undefined
      this.#shownAt = host.now()
      this.view.set(this.timeline.view())
    }
    const rest = LIMITS.frame - (host.now() - this.#shownAt)
    if (rest <= 0) show()
    else this.#timers.view = host.setTimeout(show, Math.min(rest, LIMITS.frame))
  }

  #fill(): void {
    const bound = this.timeline.wants
    if (bound === undefined || this.#filling || this.#place !== 'inside') return
    this.#filling = true
    const { generation } = this.timeline
    this.#client.page(this.name, bound).then(
      (page) => {
        const before = this.timeline.head
        const merged = this.timeline.page(page, bound, generation)
        const helped = merged && (this.timeline.head > before || this.timeline.wants?.after === undefined)
        this.#filled(helped ? 0 : 250)
      },
      () => this.#filled(backoff(++this.#failures, 0.5 + this.#client.host.random() / 2)),
    )
  }

  #filled(pause: number): void {
    const done = () => {
      this.#filling = false
      this.#moved()
    }
    if (pause === 0) done()
    else this.#client.host.setTimeout(done, pause)
  }

  #flush(): void {
    if (this.#place !== 'inside' || !this.#client.isOnline || this.#timers.hold !== undefined) return
    const sending = this.timeline.drafts.filter((draft) => draft.state === 'sending').length
    const room = (this.#careful ? 1 : LIMITS.inFlight) - sending
    for (const draft of this.timeline.sendable().slice(0, Math.max(0, room))) this.#publish(draft)
  }

  #publish(draft: Draft): void {
    const { host } = this.#client
    const tooLarge = this.#client.messageSizeMax
    if (tooLarge !== undefined && new TextEncoder().encode(JSON.stringify(draft.data)).length > tooLarge) {
      const message = `The message is larger than ${tooLarge} bytes.`
      this.timeline.change(draft.id, { state: 'failed', error: { code: 'too_large', message } })
      return
    }
    const key = draft.key ?? `${Math.floor(this.#client.serverNow()).toString(36)}-${host.token()}`
    this.timeline.change(draft.id, { state: 'sending', key })
    const patience = host.setTimeout(() => this.#client.probe(), LIMITS.patience)
    this.#client.send({ type: 'publish', channel: this.name, key, data: draft.data }, (frame) => {
      host.clearTimeout(patience)
      if (frame.type === 'published') {
        this.timeline.acknowledged(draft.id, {
          offset: number(frame.offset),
          epoch: text(frame.epoch),
          ts: number(frame.ts),
        })
        if (this.unsent === 0) this.#careful = false
      } else this.#notPublished(draft.id, problemOf(frame))
      this.#moved()
    })
  }

  #notPublished(id: string, error: { code: string; message: string; retry?: number }): void {
    const passes = ['timeout', 'internal', 'not_available', 'rate_limited', 'draining'].includes(error.code)
    if (!passes) {
      this.timeline.change(id, { state: 'failed', error })
      return
    }
    this.timeline.change(id, { state: 'waiting' })
    this.#careful = true
    const { host } = this.#client
    host.clearTimeout(this.#timers.hold)
    this.#timers.hold = host.setTimeout(() => {
      this.#timers.hold = undefined
      this.#moved()
    }, error.retry ?? backoff(2, host.random()))
  }
}

function problemOf(frame: Frame): { code: string; message: string; retry?: number } {
  const code = text(frame.code) ?? 'internal'
  return { code, message: text(frame.message) ?? code, retry: number(frame.retry) }
}

function sizeLimit(limits: unknown): number | undefined {
  const values = (limits ?? {}) as Record<string, unknown>
  return number(values.message)
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)

function browserHost(): Host {
  return {
    WebSocket: globalThis.WebSocket,
    fetch: (url, init) => globalThis.fetch(url, init),
    now: () => Date.now(),
    random: () => Math.random(),
    token: () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte % 36).toString(36)).join(''),
    setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer as number | undefined),
    isOnline: () => globalThis.navigator?.onLine !== false,
  }
}
