// A channel as this client knows it: whether it is followed, what has come of it, and what is on its way to it.
//
//   outside ──▶ asking ──▶ inside        refused for now: later, for good: denied; line lost: outside

import type { Host } from './host.js'
import { backoff, LIMITS, patience } from './limits.js'
import { type Bound, Log, type Subscribed } from './log.js'
import { Outbox, type Outgoing } from './outbox.js'
import { Presence } from './presence.js'
import { Cell, call, type Store } from './store.js'
import { Timeline } from './timeline.js'
import {
  type ChannelStatus,
  type Draft,
  type Json,
  type Message,
  type Notice,
  type Page,
  type Position,
  type PublishOptions,
  type Receipt,
  type TimelineView,
  TrunklineError,
} from './types.js'
import { errorOf, type Frame, number, onAbort, text } from './wire.js'

export interface ChannelOptions {
  /** A token for this channel alone, asked for at each subscribe. */
  token?: () => string | Promise<string>
  /** In a value or a map: be told so many times per second at most. */
  maxRate?: number
}

/** What a channel asks of its client. */
export interface Around {
  host: Host
  readonly isOnline: boolean
  readonly messageMax: number | undefined
  /** How many publishes may wait, and for how long. */
  queue: { max: number; ttl: number }
  me(): string | undefined
  serverNow(): number
  /** Somebody wants something: the line is opened if it never was. Gives why there will be none, if so. */
  need(): TrunklineError | undefined
  send(command: Frame, answer?: (frame: Frame | undefined) => void): void
  /** A page, over the line or beside it; waits for a line. */
  page(channel: string, bound: Bound, signal?: AbortSignal): Promise<Page>
  probe(): void
  /** How many publishes wait has changed. */
  moved(): void
}

type Listener<Data> = (message: Message<Data>) => void

/** Refusals that pass by themselves. */
const PASSING = ['not_available', 'timeout', 'internal', 'draining', 'rate_limited', 'connection_lost']

// biome-ignore lint/suspicious/noExplicitAny: whoever registers no types is not asked to cast.
export class Channel<Data = any> {
  readonly name: string
  /** How it is followed. */
  readonly status: Store<ChannelStatus>
  /** The newest message: of a value what it is now. */
  readonly last: Store<Message<Data> | undefined>
  /** Of a map: the newest message of each entry. */
  readonly entries: Store<ReadonlyMap<string, Message<Data>>>
  readonly #around: Around
  readonly #status = new Cell<ChannelStatus>({ state: 'idle' })
  readonly #last = new Cell<Message<Data> | undefined>(undefined)
  readonly #map = new Cell<ReadonlyMap<string, Message<Data>>>(new Map())
  readonly #outbox = new Outbox()
  readonly #log = new Log(this.#outbox)
  #options: ChannelOptions
  #kind: string | undefined
  #can: readonly string[] = []
  #listeners = new Set<{ listener: Listener<Data> | undefined; told: ((notice: Notice) => void) | undefined }>()
  #place: 'outside' | 'asking' | 'inside' = 'outside'
  #asked: Position | undefined
  /** Counts questions, for answers that come too late. */
  #asking = 0
  /** What was said of oneself last, as JSON. */
  #said: string | undefined
  /** Where a value or a map stands. */
  #stands: Position | undefined
  #held = new Map<string, Message<Data>>()
  #newest: Message<Data> | undefined
  #presence: Presence | undefined
  #timeline: Timeline<Data> | undefined
  #view: Cell<TimelineView<Data>> | undefined
  #filling = false
  #look: 'not yet' | 'under way' | 'done' = 'not yet'
  #failures = 0
  /** After a refusal that names a time to wait, publishes go one by one until the queue is empty. */
  #careful = false
  #timers: { linger?: unknown; again?: unknown; hold?: unknown; show?: unknown; expire?: unknown } = {}
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(around: Around, name: string, options: ChannelOptions) {
    this.#around = around
    this.name = name
    this.#options = options
    this.status = this.#status
    this.last = this.#last
    this.entries = this.#map
  }

  /** The place up to which everything is known. */
  get position(): Position | undefined {
    return this.#log.position ?? this.#stands
  }

  /** `log`, `value`, `map` or `signal`, once it is known. */
  get kind(): string | undefined {
    return this.#kind
  }

  /** What this client may do here, as far as it is known: `publish`, `history`, `presence`. */
  get can(): readonly string[] {
    return this.#can
  }

  /** Publishes that are not acknowledged yet. */
  get pending(): number {
    return this.#outbox.unsent
  }

  /**
   * Follows the channel until the returned function is called. Counted: it is subscribed to once, however many follow it.
   * `listener` gets each message once; in a log in order and without a gap, edits and reactions (`ref`) among them.
   */
  subscribe(listener?: Listener<Data>, told?: (notice: Notice) => void): () => void {
    const follower = { listener, told }
    this.#listeners.add(follower)
    this.#around.host.clearTimeout(this.#timers.linger)
    if (this.#place === 'outside' && this.#status.get().state !== 'denied') this.#is('subscribing')
    this.#join()
    this.#around.need()
    return () => {
      if (this.#listeners.delete(follower) && this.#listeners.size === 0) this.#lingerOn()
    }
  }

  /** The messages from now on: `for await (const message of channel)`. Whoever does not come around loses the line of it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message<Data>, void, void> {
    const waiting: Message<Data>[] = []
    let wake: (() => void) | undefined
    const leave = this.subscribe((message) => {
      waiting.push(message)
      wake?.()
    })
    try {
      for (;;) {
        if (waiting.length > LIMITS.unread) {
          throw new TrunklineError('queue_full', `${LIMITS.unread} messages of ${this.name} wait to be read.`)
        }
        const next = waiting.shift()
        if (next) yield next
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      leave()
    }
  }

  /**
   * Publishes, now or as soon as there is a line. Sent again under the same key until there is an answer, so it is stored
   * once, whatever the line does.
   */
  publish(data: Data, options: PublishOptions = {}): Promise<Receipt> {
    const { key, signal, if: condition, ...rest } = options
    const body: Frame = { ...rest, ...(options.op !== 'delete' && { data }) }
    if (condition !== undefined) body.if = { offset: condition }
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      try {
        // What is no JSON is refused now, not when its turn has come.
        JSON.stringify(body)
      } catch (error) {
        reject(error)
        return
      }
      let unheard = () => {}
      const settle = (outcome: Receipt | TrunklineError) => {
        unheard()
        if (outcome instanceof TrunklineError) reject(outcome)
        else resolve(outcome)
      }
      const draft = this.#write(data, body, { shown: false, key, settle })
      if (!draft) reject(this.#full())
      else unheard = onAbort(signal, (reason) => this.#takeBack(draft.id) && reject(reason))
    })
  }

  /** In a map: removes an entry. In a value: what is there. */
  remove(entry?: string): Promise<Receipt> {
    return this.publish(undefined as Data, { entry, op: 'delete' })
  }

  /** Sends something that is not stored, to those who follow the channel now. Without a line it is gone. */
  send(data: Data): void {
    if (this.#place === 'outside' && this.#listeners.size > 0) return
    this.#around.send({ type: 'publish', channel: this.name, ephemeral: true, data })
  }

  /** The channel's log as something to show. One for all who ask. */
  timeline(): Timeline<Data> {
    this.#timeline ??= new Timeline<Data>({
      get: () => this.#shown().get(),
      subscribe: (listener) => this.#shown().subscribe(listener),
      older: (signal) => this.#older(signal),
      post: (data) => {
        // What is no JSON is refused now, not when its turn has come.
        JSON.stringify(data)
        return this.#write(data, { data }, { shown: true })
      },
      retry: (id) => this.#again(id),
      discard: (id) => this.#takeBack(id),
      restore: (drafts) => this.#restore(drafts),
      trim: (keep) => this.#log.trim(keep) ?? this.#moved(),
      publish: (data, options) => this.publish(data, options),
    })
    return this.#timeline
  }

  /** Who is there. Asked for from the first look on. */
  get presence(): Presence {
    if (!this.#presence) {
      const { host, me } = this.#around
      this.#presence = new Presence({ host, me, say: (state) => this.#say(state) })
      // A subscription is replaced by one that tells.
      if (this.#place !== 'outside') this.#join(true)
    }
    return this.#presence
  }

  /** What it is like inside, for a look at what is wrong. */
  inspect(): Record<string, unknown> {
    const { head, lo, wants, caughtUp } = this.#log
    const { name, position, pending } = this
    const status = this.#status.get()
    return {
      name,
      kind: this.#kind,
      status,
      position,
      lo,
      head,
      wants,
      caughtUp,
      pending,
      followers: this.#listeners.size,
    }
  }

  // Called by the client.

  configure(options: ChannelOptions): void {
    this.#options = { ...this.#options, ...options }
  }

  /** Another token counts. */
  renewed(): void {
    if (this.#status.get().state === 'denied') this.#join()
  }

  /** What `connect` or `subscribe` is to ask, if it is to be asked now. */
  asking(): Frame | undefined {
    if (this.#listeners.size === 0 || this.#place !== 'outside' || this.#options.token) return undefined
    return this.#question()
  }

  lineUp(): void {
    this.#join()
    this.#moved()
  }

  lineDown(): void {
    const { clearTimeout } = this.#around.host
    clearTimeout(this.#timers.again)
    clearTimeout(this.#timers.hold)
    this.#timers.hold = undefined
    this.#place = 'outside'
    this.#log.lost()
    this.#outbox.lost()
    const { state } = this.#status.get()
    if (state === 'live' || state === 'resyncing') this.#is('subscribing')
    this.#moved()
  }

  /** The client is closed: nothing that waits will be sent. */
  end(error: TrunklineError): void {
    this.#outbox.end(error)
    this.#moved()
  }

  take(frame: Frame): void {
    if (frame.type === 'message') this.#heard(messageOf<Data>(frame))
    else if (frame.type === 'presence') this.#presence?.take(frame)
    else if (frame.type === 'subscribed') this.#joined(frame)
    else if (frame.type === 'unsubscribed' ? frame.code && this.#place !== 'outside' : this.#place === 'asking') {
      this.#refused(frame)
    }
  }

  // Following.

  #question(): Frame {
    this.#place = 'asking'
    const log = this.#log
    if (!log.position && log.head > 0) log.restart()
    this.#asked = log.position ?? this.#stands
    const question: Frame = {}
    if (this.#asked) question.since = this.#asked
    if (this.#options.maxRate) question.maxRate = this.#options.maxRate
    const state = this.#presence?.state
    if (this.#presence) question.presence = true
    if (state !== undefined) question.state = state
    this.#said = JSON.stringify(state)
    return question
  }

  #join(again = false): void {
    if (this.#listeners.size === 0 || (this.#place !== 'outside' && !again) || !this.#around.isOnline) return
    const { token } = this.#options
    const question = this.#question()
    const ask = (more: Frame) => {
      this.#around.send({ type: 'subscribe', channel: this.name, ...question, ...more }, (frame) => {
        if (frame?.type === 'subscribed') this.#joined(frame)
        else if (frame) this.#refused(frame)
      })
    }
    if (!token) {
      ask({})
      return
    }
    this.#asking += 1
    const asking = this.#asking
    const isAsked = () => this.#place === 'asking' && asking === this.#asking
    Promise.resolve()
      .then(token)
      .then(
        (token) => isAsked() && ask({ token }),
        (error: unknown) =>
          isAsked() && this.#refused({ code: 'no_token', message: String(error), retry: LIMITS.backoffMax / 2 }),
      )
  }

  #lingerOn(): void {
    this.#timers.linger = this.#around.host.setTimeout(() => {
      if (this.#listeners.size > 0) return
      const wasInside = this.#place !== 'outside'
      this.#place = 'outside'
      this.#is('idle')
      this.#log.trim(LIMITS.page)
      if (wasInside) this.#around.send({ type: 'unsubscribe', channel: this.name })
    }, LIMITS.linger)
  }

  #joined(frame: Frame): void {
    // One that was not asked for follows from the token, or tells of a rewind.
    this.#failures = 0
    this.#place = 'inside'
    this.#kind = text(frame.kind)
    this.#can = Array.isArray(frame.can) ? frame.can : []
    const asked = this.#asked
    this.#asked = undefined
    if (this.#kind === 'log') this.#log.subscribed(frame as Subscribed, asked)
    else this.#given(frame)
    if (frame.presence) this.#presence?.take(frame.presence as Frame)
    this.#is('live')
    // What was said of oneself while it was asked.
    const state = this.#presence?.state
    if (state !== undefined && JSON.stringify(state) !== this.#said) this.#say(state)
    this.#moved()
  }

  #say(state: Json): void {
    if (this.#place !== 'inside') return
    this.#said = JSON.stringify(state)
    this.#around.send({ type: 'presence', channel: this.name, state })
  }

  /** Of a value or a map: what it is now, or what has changed. */
  #given(frame: Frame): void {
    const { epoch, offset } = frame as { epoch?: string; offset?: number }
    // What is replayed comes yet, and has its places with it.
    if (epoch !== undefined && offset !== undefined && !frame.replay) this.#stands = { epoch, offset }
    if (!Array.isArray(frame.entries)) return
    this.#held.clear()
    this.#newest = undefined
    for (const entry of frame.entries) this.#keep(messageOf<Data>(entry))
  }

  #refused(frame: Frame): void {
    this.#place = 'outside'
    const error = errorOf(frame)
    // A token that has run out is asked for anew.
    const passes =
      error.retryAfter !== undefined ||
      PASSING.includes(error.code) ||
      (error.code === 'token_expired' && this.#options.token !== undefined)
    // Whoever has left meanwhile does not care.
    if (this.#listeners.size === 0) this.#is('idle')
    else this.#status.set({ state: passes ? 'subscribing' : 'denied', error })
    this.#moved()
    if (!passes || this.#listeners.size === 0) return
    const { host } = this.#around
    const delay = patience(error.retryAfter, backoff(this.#failures, host.random()))
    this.#failures += 1
    host.clearTimeout(this.#timers.again)
    this.#timers.again = host.setTimeout(() => this.#join(), delay)
  }

  #is(state: ChannelStatus['state']): void {
    const { state: before, error } = this.#status.get()
    if (state !== before || error) this.#status.set({ state })
  }

  // What comes.

  #heard(message: Message<Data>): void {
    if (this.#place !== 'inside') return
    if (this.#kind === 'log' && message.offset > 0) this.#log.message(message)
    else {
      if (message.offset > 0)
        this.#stands = { epoch: message.epoch ?? this.#stands?.epoch ?? '', offset: message.offset }
      this.#outbox.seen(message)
      this.#keep(message)
      this.#tell(message)
    }
    this.#moved()
  }

  #keep(message: Message<Data>): void {
    // What is ephemeral passes by.
    if (message.offset === 0 && this.#kind !== 'signal') return
    this.#newest = message.op === 'delete' ? undefined : message
    if (this.#kind !== 'map' || message.entry === undefined) return
    if (message.op === 'delete') this.#held.delete(message.entry)
    else this.#held.set(message.entry, message)
  }

  #tell(message: Message<Data>): void {
    for (const { listener } of [...this.#listeners]) if (listener) call(listener, message)
  }

  /** Something has changed: tells it, fetches what is missing, sends what waits. */
  #moved(): void {
    if (this.#log.forked) {
      this.#log.restart()
      this.#place = 'outside'
      this.#join()
    }
    for (const told of this.#log.told()) {
      if ('type' in told) for (const { told: tell } of [...this.#listeners]) tell && call(tell, told)
      else {
        if (told.ref === undefined) this.#newest = told as Message<Data>
        this.#tell(told as Message<Data>)
      }
    }
    this.#fill()
    this.#flush()
    if (this.#place === 'inside') this.#is(this.#kind !== 'log' || this.#log.caughtUp ? 'live' : 'resyncing')
    this.#show()
    this.#around.moved()
  }

  /** Stores are renewed at most once per frame. */
  #show(): void {
    const { host } = this.#around
    if (this.#timers.show !== undefined) return
    const show = () => {
      this.#timers.show = undefined
      this.#shownAt = host.now()
      this.#last.set(this.#newest)
      if (this.#kind === 'map') this.#map.set(new Map(this.#held))
      // Where nobody asks for a timeline nobody looks back.
      if (!this.#timeline) this.#log.trim(LIMITS.page)
      this.#view?.set(this.#log.view() as TimelineView<Data>)
    }
    const rest = LIMITS.frame - (host.now() - this.#shownAt)
    if (rest <= 0) show()
    else this.#timers.show = host.setTimeout(show, Math.min(rest, LIMITS.frame))
  }

  #shown(): Cell<TimelineView<Data>> {
    this.#view ??= new Cell(this.#log.view() as TimelineView<Data>)
    return this.#view
  }

  // Pages.

  async #older(signal?: AbortSignal): Promise<TimelineView<Data>> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const { generation, lo, hasOlder, loaded } = this.#log
      if (loaded && !hasOlder) break
      const bound = this.#log.position && lo > 1 ? { before: lo } : {}
      const page = await this.#around.page(this.name, bound, signal)
      const merged = this.#log.page(page, bound, generation)
      this.#moved()
      if (merged) break
      if (attempt === 4) throw new TrunklineError('not_available', `${this.name} changes too quickly to be read.`)
    }
    return this.#log.view() as TimelineView<Data>
  }

  /** Looks at the newest page, for those who wait for that. Where nothing can be seen nobody waits. */
  #lookOnce(): void {
    if (this.#look !== 'not yet') return
    this.#look = 'under way'
    const looked = (look: 'not yet' | 'done') => {
      this.#look = look
      this.#moved()
    }
    this.#older().then(
      () => looked('done'),
      (error: TrunklineError) => {
        const { host } = this.#around
        if (!PASSING.includes(error.code)) looked('done')
        else host.setTimeout(() => looked('not yet'), patience(error.retryAfter, backoff(3, 0.5 + host.random() / 2)))
      },
    )
  }

  #fill(): void {
    const bound = this.#log.wants
    if (!bound || this.#filling || this.#place !== 'inside') return
    if (!this.#can.includes('history')) {
      this.#log.skip()
      return
    }
    this.#filling = true
    const { generation } = this.#log
    this.#around.page(this.name, bound).then(
      (page) => {
        const before = JSON.stringify(this.#log.wants)
        const merged = this.#log.page(page, bound, generation)
        // One that brings nothing is asked for again later.
        this.#filled(merged && before !== JSON.stringify(this.#log.wants) ? 0 : LIMITS.backoffFirst / 2)
      },
      (error: TrunklineError) => {
        if (this.#place === 'inside' && !PASSING.includes(error.code)) this.#log.skip()
        this.#filled(patience(error.retryAfter, backoff(++this.#failures, 0.5 + this.#around.host.random() / 2)))
      },
    )
  }

  #filled(pause: number): void {
    const done = () => {
      this.#filling = false
      this.#moved()
    }
    if (pause === 0) done()
    else this.#around.host.setTimeout(done, pause)
  }

  // Publishing.

  #full(): TrunklineError {
    return new TrunklineError('queue_full', `${this.#around.queue.max} publishes of ${this.name} wait already.`)
  }

  #write(
    data: Data,
    body: Frame,
    more: { shown: boolean; key?: string; settle?: Outgoing['settle'] },
  ): Draft<Data> | undefined {
    const { host, queue } = this.#around
    if (this.#outbox.size >= queue.max) return undefined
    const { shown, settle } = more
    const key = more.key ?? this.#newKey()
    const draft: Draft<Data> = { id: host.token(), data, at: host.now(), state: 'waiting', key }
    this.#outbox.add({ draft, body, shown, ours: more.key === undefined, settle })
    const closed = this.#around.need()
    if (closed) this.#outbox.failed(draft.id, closed)
    this.#moved()
    return draft
  }

  /** A key that tells when it was born: what is sent under it is never stored twice, however late it is sent again. */
  #newKey(): string {
    return `${Math.floor(this.#around.serverNow()).toString(36)}-${this.#around.host.token()}`
  }

  #restore(drafts: readonly Draft<Data>[]): void {
    for (const { id, data, at, state, error, key = this.#newKey() } of drafts) {
      // One that is in the log by now was sent.
      if (this.#outbox.find(id) || this.#log.has(key)) continue
      const draft: Draft = { id, data, at, key, state: state === 'failed' ? state : 'waiting', error }
      this.#outbox.add({ draft, body: { data }, shown: true, ours: true, restored: true })
    }
    this.#around.need()
    this.#moved()
  }

  #again(id: string): void {
    const item = this.#outbox.find(id)
    if (item?.draft.state !== 'failed') return
    // Under a key that is too old it would be refused for ever.
    const expired = item.draft.error?.code === 'key_expired'
    const key = expired ? this.#newKey() : item.draft.key
    this.#outbox.change(id, { state: 'waiting', error: undefined, key, at: this.#around.host.now() })
    this.#moved()
  }

  /** One that was sent cannot be taken back. */
  #takeBack(id: string): Draft<Data> | undefined {
    const found = this.#outbox.find(id)
    const state = found?.draft.state
    if (state !== 'failed' && (state !== 'waiting' || found?.sent)) return undefined
    const item = this.#outbox.remove(id)
    this.#moved()
    return item?.draft as Draft<Data> | undefined
  }

  #flush(): void {
    const { isOnline, host, queue } = this.#around
    this.#expire(host.now() - queue.ttl)
    if (!isOnline || this.#timers.hold !== undefined) return
    // What was unanswered on the last line is judged by what has come since.
    const isJudged = this.#place === 'inside' ? this.#kind !== 'log' || this.#log.caughtUp : this.#place === 'outside'
    if (!isJudged || (this.#place === 'outside' && this.#status.get().state === 'subscribing')) return
    // What another session may have sent is looked for first.
    const seen = this.#log.loaded || this.#look === 'done'
    if (!seen && this.#outbox.waiting().some((item) => item.restored)) this.#lookOnce()
    const inFlight = this.#careful ? 1 : LIMITS.inFlight
    for (const item of this.#outbox.next(seen, inFlight)) this.#send(item)
  }

  /** What has waited for too long is not sent any more: nobody expects it. */
  #expire(before: number): void {
    const { host } = this.#around
    const waiting = this.#outbox.waiting().filter((item) => !item.again)
    for (const { draft } of waiting) {
      if (draft.at > before) break
      this.#outbox.failed(draft.id, new TrunklineError('expired', 'It has waited for a line for too long.'))
    }
    const first = waiting.find(({ draft }) => draft.at > before)
    host.clearTimeout(this.#timers.expire)
    this.#timers.expire = first && host.setTimeout(() => this.#moved(), first.draft.at - before + 1)
  }

  #send(item: Outgoing): void {
    const { draft, body } = item
    const { id, key, data } = draft
    const { host, messageMax } = this.#around
    if (messageMax !== undefined && new TextEncoder().encode(JSON.stringify(data ?? null)).length > messageMax) {
      this.#outbox.failed(id, new TrunklineError('too_large', `It is larger than ${messageMax} bytes.`))
      return
    }
    item.sent = true
    this.#outbox.change(id, { state: 'sending' })
    const doubt = host.setTimeout(() => this.#around.probe(), LIMITS.patience)
    this.#around.send({ type: 'publish', channel: this.name, key, ...body }, (frame) => {
      host.clearTimeout(doubt)
      if (!frame) {
        // A signal keeps no keys: it is sent once or not at all.
        if (this.#kind === 'signal')
          this.#outbox.failed(id, new TrunklineError('connection_lost', 'The line was lost.'))
        return
      }
      if (frame.type === 'published') {
        const { offset, epoch } = { offset: number(frame.offset), epoch: text(frame.epoch) }
        const receipt: Receipt = { offset, epoch, ts: number(frame.ts) ?? 0, key }
        if (frame.dup) receipt.dup = true
        this.#outbox.acknowledged(id, receipt, this.#place === 'inside' ? this.#log.head : Number.POSITIVE_INFINITY)
        if (this.#outbox.unsent === 0) this.#careful = false
      } else this.#notPublished(id, errorOf(frame))
      this.#moved()
    })
  }

  #notPublished(id: string, error: TrunklineError): void {
    if (!PASSING.includes(error.code) && error.retryAfter === undefined) {
      this.#outbox.failed(id, error)
      return
    }
    this.#outbox.change(id, { state: 'waiting' })
    this.#careful = true
    const { host } = this.#around
    host.clearTimeout(this.#timers.hold)
    const delay = patience(error.retryAfter, backoff(2, host.random()))
    this.#timers.hold = host.setTimeout(() => {
      this.#timers.hold = undefined
      this.#moved()
    }, delay)
  }
}

/** A publication as it stands in a frame, a page, or a list of entries. */
export function messageOf<Data>(frame: Frame): Message<Data> {
  const { type: _type, channel: _channel, id: _id, ...rest } = frame
  return { offset: 0, ...rest } as Message<Data>
}
