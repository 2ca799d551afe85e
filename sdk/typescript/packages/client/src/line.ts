// One line to the server, kept up for as long as it is wanted: tokens, attempts, heartbeats, questions and their answers.
// What is said over it is its owner's business.
//
//            open          open            welcome
//   waiting ──────▶ (token) ──▶ connecting ───────▶ online
//      ▲                            │ lost            │ lost, goaway
//      └────────────────────────────┴─────────────────┘        final close code, disconnect ──▶ closed, idle

import { isFinal } from './codes.js'
import type { Host } from './host.js'
import { backoff, LIMITS, patience } from './limits.js'
import { Cell, call } from './store.js'
import { type Connection, TrunklineError } from './types.js'
import { errorOf, type Frame, number, text } from './wire.js'

/** Who speaks over the line. */
export interface Owner {
  /** What `connect` is to go on with. */
  resume(): Frame
  up(): void
  down(): void
  /** Another token counts: what was denied may be allowed now. */
  renewed(): void
  /** What is no answer. */
  take(frame: Frame): void
}

export type Token = string | null | (() => string | null | Promise<string | null>)

export interface LineOptions {
  url: string
  token?: Token
  /** The secret of an earlier session, to be that one again. */
  session?: string
  /** What others see in presence. */
  name?: string
  /** A session has begun; whoever has its secret is the same guest. */
  onSession?: (session: string) => void
  /** Told of every frame, and of what becomes of the line. */
  logger?: (event: LogEvent) => void
}

export type LogEvent = { type: 'in' | 'out'; frame: Frame } | { type: 'connection'; connection: Connection }

/** `undefined`: the line was lost before there was one. */
type Answer = (frame: Frame | undefined) => void
type Timer = 'retry' | 'patience' | 'idle' | 'probe' | 'leave' | 'renew'

export class Line {
  readonly connection: Cell<Connection>
  user: string | undefined
  client: string | undefined
  /** The largest payload that the server takes, in bytes; `undefined` while not known. */
  messageMax: number | undefined
  readonly #host: Host
  readonly #options: LineOptions
  readonly #owner: Owner
  #token: Token
  #session: string | undefined
  #socket: WebSocket | undefined
  #answers = new Map<number, Answer>()
  #lastId = 0
  #attempt = 0
  #downSince: number | undefined
  #heardAt = 0
  #skew = 0
  #spread: number | undefined
  #retry: number | undefined
  #refusal: TrunklineError | undefined
  #ping = 25_000
  #timers: Partial<Record<Timer, unknown>> = {}
  #unwatch: (() => void) | undefined
  /** Counts lines, so that whoever calls an application knows whether it has begun another. */
  #turn = 0

  constructor(options: LineOptions, host: Host, owner: Owner) {
    this.#options = options
    this.#host = host
    this.#owner = owner
    this.#token = options.token ?? null
    this.#session = options.session
    const since = host.now()
    this.connection = new Cell<Connection>({ state: 'idle', attempt: 0, since, everOnline: false, pending: 0 })
  }

  get isOnline(): boolean {
    return this.connection.get().state === 'online'
  }

  /** It is wanted from now on. `anew`: as a new guest, not as the session that was. */
  connect(anew = false): void {
    const { state } = this.connection.get()
    if (state !== 'idle' && state !== 'closed') return
    if (anew) this.#session = undefined
    this.#unwatch ??= this.#host.watch(() => this.wake())
    this.#open()
  }

  /** It is not wanted any more. */
  disconnect(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#downSince = undefined
    this.#attempt = 0
    this.#cut({ state: 'idle', attempt: 0, retryAt: undefined, error: undefined })
  }

  /** Something has changed in the world: does not wait, and does not trust a line that looks open. */
  wake(): void {
    const { state } = this.connection.get()
    if (state === 'waiting' || state === 'offline') this.#open()
    else if (state === 'online') this.probe()
  }

  /** Drops the line as a broken network would. */
  drop(): void {
    if (this.#socket) this.#lost(1006)
  }

  /** From now on this token counts, for this session too. */
  setToken(token: Token): void {
    this.#token = token
    if (this.isOnline) void this.#renew()
    else if (this.connection.get().state === 'connecting') this.#open()
  }

  /** The server's time, as far as it is known. */
  serverNow(): number {
    return this.#host.now() + this.#skew
  }

  /** The token that counts now, for requests beside the line. */
  async token(): Promise<string | null> {
    return typeof this.#token === 'function' ? await this.#token() : this.#token
  }

  /** Sends a command, if the line is up. `answer` gets its reply, its error, or the news that there will be none. */
  send(command: Frame, answer?: Answer): void {
    if (!this.isOnline) {
      answer?.(undefined)
      return
    }
    this.#ask(command, answer)
  }

  /** Asks whether the line still carries anything, and drops it if not. */
  probe(): void {
    if (!this.isOnline || this.#timers.probe !== undefined) return
    const sent = this.#host.now()
    this.#ask({ type: 'ping' }, (frame) => frame && this.#is({ rtt: this.#host.now() - sent }))
    this.#set('probe', LIMITS.probe, () => this.#lost(1006))
  }

  /** Says in `connection` how many publishes wait. */
  pending(pending: number): void {
    if (pending !== this.connection.get().pending) this.#is({ pending })
  }

  #ask(command: Frame, answer?: Answer): void {
    const id = ++this.#lastId
    if (answer) this.#answers.set(id, answer)
    this.#write(answer ? { ...command, id } : command)
  }

  #write(frame: Frame): void {
    if (this.#socket?.readyState !== 1) return
    this.#log({ type: 'out', frame })
    this.#socket.send(JSON.stringify(frame))
  }

  #log(event: LogEvent): void {
    if (this.#options.logger) call(this.#options.logger, event)
  }

  #is(change: Partial<Connection>): void {
    const before = this.connection.get()
    const connection = { ...before, ...change }
    if (change.state) connection.since = this.#downSince ?? this.#host.now()
    this.connection.set(connection)
    if (change.state) this.#log({ type: 'connection', connection })
  }

  #set(timer: Timer, ms: number, run: () => void): void {
    this.#host.clearTimeout(this.#timers[timer])
    this.#timers[timer] = this.#host.setTimeout(() => {
      this.#timers[timer] = undefined
      run()
    }, ms)
  }

  #clear(timer: Timer): void {
    this.#host.clearTimeout(this.#timers[timer])
    this.#timers[timer] = undefined
  }

  #open(): void {
    if (!this.#host.WebSocket) {
      this.#end(new TrunklineError('closed', 'This runtime has no WebSocket: pass one to createClient.'))
      return
    }
    this.#downSince ??= this.#host.now()
    if (!this.#cut({ state: 'connecting', attempt: this.#attempt, retryAt: undefined })) return
    // Also for whoever gives the token: it may never come.
    this.#set('patience', LIMITS.patience, () => this.#lost(1006))
    const attempt = this.#timers.patience
    const dial = (token: string | null) => attempt === this.#timers.patience && this.#dial(token)
    if (typeof this.#token !== 'function') {
      dial(this.#token)
      return
    }
    this.token().then(dial, (error: unknown) => {
      if (attempt !== this.#timers.patience) return
      this.#refusal = noToken(error)
      this.#lost(1006)
    })
  }

  #dial(token: string | null): void {
    let socket: WebSocket
    try {
      socket = new this.#host.WebSocket(this.#options.url, [PROTOCOL])
    } catch (error) {
      this.#refusal = new TrunklineError('connection_lost', String(error))
      this.#lost(1006)
      return
    }
    this.#socket = socket
    socket.onopen = () => this.#greet(token)
    socket.onmessage = (event) => this.#heard(event.data)
    socket.onclose = (event) => this.#lost(event.code, event.reason)
    // The close that follows says it. Some WebSockets throw where nobody listens to this.
    socket.onerror = () => {}
  }

  #greet(token: string | null): void {
    const { name } = this.#options
    // A server of another protocol, or of none, would understand nothing of what follows.
    const spoken = this.#socket?.protocol ?? PROTOCOL
    if (spoken !== PROTOCOL) {
      this.#end(new TrunklineError('closed', `The server does not speak ${PROTOCOL}.`))
      return
    }
    const connect: Frame = { type: 'connect', heartbeat: true, ...(name && { name }) }
    if (this.#session) connect.session = this.#session
    if (token) connect.token = token
    const subscribe = this.#owner.resume()
    if (Object.keys(subscribe).length > 0) connect.subscribe = subscribe
    const sent = this.#host.now()
    this.#ask(connect, (frame) => {
      if (frame?.type === 'welcome') this.#welcomed(frame, sent)
      else if (frame) {
        // The server closes the line now, and the code says whether to come back.
        this.#refusal = errorOf(frame)
        this.#retry = this.#refusal.retryAfter
      }
    })
  }

  #welcomed(frame: Frame, sent: number): void {
    const now = this.#host.now()
    this.#clear('patience')
    this.#skew = (number(frame.ts) ?? now) - now
    this.#spread = number(frame.spread)
    this.#ping = Math.min(60_000, Math.max(5_000, number(frame.ping) ?? 25_000))
    this.messageMax = number((frame.limits as Frame | undefined)?.message)
    this.user = text(frame.user)
    this.client = text(frame.client)
    const session = text(frame.session)
    const { onSession } = this.#options
    if (session && session !== this.#session && onSession) call(onSession, session)
    this.#session = session ?? this.#session
    this.#downSince = undefined
    this.#refusal = undefined
    this.#is({ state: 'online', everOnline: true, rtt: now - sent, error: undefined, retryAt: undefined })
    this.#expires(number(frame.expires))
    this.#watch()
    this.#owner.up()
  }

  /** The token is renewed before its time is over. */
  #expires(at: number | undefined): void {
    this.#clear('renew')
    if (at === undefined || typeof this.#token !== 'function') return
    const left = at - this.serverNow()
    const wait = Math.max(1_000, left - Math.min(LIMITS.renewal, left / 2))
    // No timer is longer than 24 days.
    this.#set('renew', Math.min(wait, 2 ** 31 - 1), () => void this.#renew())
  }

  async #renew(): Promise<void> {
    const socket = this.#socket
    const token = await this.token().catch(() => null)
    if (socket !== this.#socket || !this.isOnline) return
    if (!token) {
      // Until the token's time is over another may be had.
      if (typeof this.#token === 'function') this.#set('renew', LIMITS.patience, () => void this.#renew())
      return
    }
    this.#ask({ type: 'refresh', token }, (frame) => {
      if (frame?.type === 'refreshed') {
        this.#expires(number(frame.expires))
        this.#owner.renewed()
      } else if (frame) this.#is({ error: errorOf(frame) })
    })
  }

  #heard(data: unknown): void {
    this.#heardAt = this.#host.now()
    this.#clear('probe')
    if (typeof data !== 'string') return
    let frame: Frame
    try {
      frame = JSON.parse(data)
    } catch {
      return
    }
    if (frame === null || typeof frame !== 'object') return
    this.#log({ type: 'in', frame })
    const id = number(frame.id)
    const answer = id === undefined ? undefined : this.#answers.get(id)
    if (answer) {
      this.#answers.delete(id as number)
      answer(frame)
    } else if (frame.type === 'ping') this.#write({ type: 'pong' })
    else if (frame.type === 'goaway') this.#leave(number(frame.within) ?? 0)
    else this.#owner.take(frame)
  }

  /** The server speaks at least once in a ping interval. Silence is asked about. */
  #watch(): void {
    this.#set('idle', this.#ping, () => {
      if (this.#host.now() - this.#heardAt >= this.#ping) this.probe()
      this.#watch()
    })
  }

  /** The server is about to end: goes at a moment of its own. What is unanswered then is sent again. */
  #leave(within: number): void {
    if (this.#timers.leave !== undefined) return
    this.#set('leave', this.#host.random() * within, () => {
      this.#downSince = this.#host.now()
      this.#open()
    })
  }

  #lost(code: number, reason = ''): void {
    const { state, since } = this.connection.get()
    const now = this.#host.now()
    const wasGood = state === 'online' && now - since >= LIMITS.steady
    if (wasGood) this.#attempt = 0
    if (state === 'online') this.#downSince = now
    const why = code === 1006 ? undefined : new TrunklineError(CLOSED[code] ?? 'closed', reason || `code ${code}`)
    const error = this.#refusal ?? why
    this.#refusal = undefined
    // A token that is always the same does not get any younger.
    if (isFinal(code) || (code === 4501 && typeof this.#token !== 'function')) {
      this.#end(error)
      return
    }
    const { random } = this.#host
    const jittered = wasGood && this.#spread !== undefined ? random() * this.#spread : backoff(this.#attempt, random())
    const delay = patience(this.#retry, jittered)
    this.#retry = undefined
    this.#attempt += 1
    const isDown = this.#host.isOnline() ? 'waiting' : 'offline'
    if (!this.#cut({ state: isDown, attempt: this.#attempt, retryAt: now + delay, error })) return
    this.#set('retry', delay, () => this.#open())
  }

  #end(error: TrunklineError | undefined): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#downSince = undefined
    this.#attempt = 0
    this.#cut({ state: 'closed', retryAt: undefined, error })
  }

  /** Lets go of the socket without waiting for it: a dead one may never answer. False: somebody has begun another. */
  #cut(change: Partial<Connection>): boolean {
    this.#turn += 1
    const turn = this.#turn
    for (const timer of Object.values(this.#timers)) this.#host.clearTimeout(timer)
    this.#timers = {}
    const socket = this.#socket
    this.#socket = undefined
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close()
    }
    const answers = this.#answers
    this.#answers = new Map()
    this.#is(change)
    for (const answer of answers.values()) answer(undefined)
    if (turn === this.#turn) this.#owner.down()
    return turn === this.#turn
  }
}

const PROTOCOL = 'trunkline.v1'

/** What close codes say in the words of errors. */
const CLOSED: Record<number, TrunklineError['code']> = {
  4401: 'unauthorized',
  4403: 'forbidden',
  4409: 'replaced',
  4501: 'token_expired',
  4503: 'draining',
  4529: 'limit_exceeded',
}

function noToken(error: unknown): TrunklineError {
  return error instanceof TrunklineError ? error : new TrunklineError('no_token', String(error))
}
