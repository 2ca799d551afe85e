// The client: one line, its channels, questions and their answers.

import { Channel, type ChannelOptions } from './channel.js'
import { type Host, worldHost } from './host.js'
import { LIMITS } from './limits.js'
import { Line, type LineOptions, type Token } from './line.js'
import type { Bound } from './log.js'
import type { Store } from './store.js'
import { type Connection, type DataOf, type Page, TrunklineError } from './types.js'
import { errorOf, type Frame, onAbort } from './wire.js'

export interface ClientOptions extends Omit<LineOptions, 'url'> {
  /** The server: `wss://chat.example.com`, with `/ws` or without, or the same with `https://`. Default: of this page. */
  url?: string
  /** How many publishes of a channel may wait (200), and for how long, in ms (10 minutes; what is shown as a draft too). */
  queue?: { max?: number; ttl?: number }
  /** Where the runtime has none of its own. */
  WebSocket?: Host['WebSocket']
  fetch?: Host['fetch']
  /** A world of one's own: sockets, time and chance. For tests. */
  host?: Partial<Host>
}

const STOPPED = new TrunklineError('closed', 'The client is disconnected.')

export class Client {
  /** How the line stands. */
  readonly connection: Store<Connection>
  readonly #host: Host
  readonly #line: Line
  readonly #api: string
  readonly #queue: { max: number; ttl: number }
  #channels = new Map<string, Channel>()
  /** Questions that wait for a line. */
  #waiting: (() => void)[] = []
  #wasStopped = false

  constructor(options: ClientOptions) {
    const { ws, api } = addresses(options.url)
    this.#api = api
    const given = {
      ...(options.WebSocket && { WebSocket: options.WebSocket }),
      ...(options.fetch && { fetch: options.fetch }),
    }
    this.#host = { ...worldHost(), ...given, ...options.host }
    this.#queue = { max: options.queue?.max ?? 200, ttl: options.queue?.ttl ?? 600_000 }
    this.#line = new Line({ ...options, url: ws }, this.#host, {
      resume: () => this.#resume(),
      up: () => this.#up(),
      down: () => this.#down(),
      renewed: () => {
        for (const channel of this.#channels.values()) channel.renewed()
      },
      take: (frame) => this.#take(frame),
    })
    this.connection = this.#line.connection
  }

  /** The public id of this client, which presence shows; and the name of its user. Known while it is online. */
  get me(): { client: string | undefined; user: string | undefined } {
    return { client: this.#line.client, user: this.#line.user }
  }

  /**
   * Opens the line, and keeps it up. Not needed: whoever follows or publishes opens it. Needed after it was closed: by
   * `disconnect`, or for good by the server; `newSession` begins as a new guest then.
   */
  connect(options: { newSession?: boolean } = {}): void {
    this.#wasStopped = false
    this.#line.connect(options.newSession)
  }

  /** Closes the line. What was published and is not acknowledged waits for the next `connect`. */
  disconnect(): void {
    this.#wasStopped = true
    this.#line.disconnect()
  }

  /** The machine woke up, or the network changed: tries at once, and doubts a line that looks open. */
  wake(): void {
    this.#line.wake()
  }

  /** Cuts the line as a broken network would. For tests and demonstrations. */
  drop(): void {
    this.#line.drop()
  }

  /** Goes on with another token of the same user. */
  setToken(token: Token): void {
    this.#line.setToken(token)
  }

  /** A channel: one for each name. */
  channel<Name extends string>(name: Name, options?: ChannelOptions): Channel<DataOf<Name>> {
    let channel = this.#channels.get(name)
    if (!channel) {
      const { host, line } = { host: this.#host, line: this.#line }
      channel = new Channel(
        {
          host,
          queue: this.#queue,
          get isOnline() {
            return line.isOnline
          },
          get messageMax() {
            return line.messageMax
          },
          me: () => line.client,
          serverNow: () => line.serverNow(),
          need: () => this.#need(),
          send: (command, answer) => line.send(command, answer),
          page: (channel, bound, signal) => this.#page(channel, bound, LIMITS.page, signal),
          probe: () => line.probe(),
          moved: () => this.#count(),
        },
        name,
        options ?? {},
      )
      this.#channels.set(name, channel)
    } else if (options) channel.configure(options)
    return channel
  }

  /** A page of a log's past: the newest, or the one below `before` or above `after`. */
  history<Name extends string>(
    channel: Name,
    bound: Bound & { limit?: number; signal?: AbortSignal } = {},
  ): Promise<Page<DataOf<Name>>> {
    const { limit, signal, before, after } = bound
    return this.#page(
      channel,
      { ...(before !== undefined && { before }), ...(after !== undefined && { after }) },
      limit ?? LIMITS.page,
      signal,
    ) as Promise<Page<DataOf<Name>>>
  }

  /** Asks the application behind the server. If the line is lost meanwhile, whether it was done is open. */
  async rpc<Answer = unknown>(method: string, data?: unknown): Promise<Answer> {
    JSON.stringify(data)
    return (await this.#request({ type: 'rpc', method, data }, false)).data as Answer
  }

  /** What it is like inside, for a look at what is wrong. */
  inspect(): Record<string, unknown> {
    const channels = [...this.#channels.values()].map((channel) => channel.inspect())
    return { connection: this.connection.get(), me: this.me, waiting: this.#waiting.length, channels }
  }

  #need(): TrunklineError | undefined {
    const { state, error } = this.connection.get()
    if (state === 'closed') return new TrunklineError('closed', error?.message ?? 'The client is closed.')
    if (!this.#wasStopped && state === 'idle') this.#line.connect()
    return undefined
  }

  #resume(): Frame {
    const subscribe: Frame = {}
    let bytes = 0
    for (const channel of this.#channels.values()) {
      // The position and the punctuation take less than that; the others ask when the line is up.
      bytes += channel.name.length + 128
      const question = bytes < LIMITS.connectBytes && channel.asking()
      if (!question) continue
      bytes += JSON.stringify(question).length
      subscribe[channel.name] = question
    }
    return subscribe
  }

  #up(): void {
    for (const ask of this.#waiting.splice(0)) ask()
    for (const channel of this.#channels.values()) channel.lineUp()
  }

  #down(): void {
    for (const channel of this.#channels.values()) channel.lineDown()
    const why = this.connection.get().state === 'closed' && this.#need()
    if (!why) return
    for (const channel of this.#channels.values()) channel.end(why)
    for (const ask of this.#waiting.splice(0)) ask()
  }

  #take(frame: Frame): void {
    if (typeof frame.channel !== 'string') return
    // The token may follow channels that nobody has asked for yet.
    if (frame.type === 'subscribed') this.channel(frame.channel)
    this.#channels.get(frame.channel)?.take(frame)
  }

  #count(): void {
    let pending = 0
    for (const channel of this.#channels.values()) pending += channel.pending
    this.#line.pending(pending)
  }

  /** `repeats`: it may be asked again on the next line. */
  #request(command: Frame, repeats: boolean, signal?: AbortSignal): Promise<Frame> {
    const host = this.#host
    return new Promise((resolve, reject) => {
      const unheard = onAbort(signal, reject)
      const settle = (done: () => void) => {
        unheard()
        done()
      }
      const ask = () => {
        if (signal?.aborted) return
        const closed = this.#need() ?? (this.#wasStopped && !repeats ? STOPPED : undefined)
        if (closed) settle(() => reject(closed))
        else if (!this.#line.isOnline) this.#waiting.push(ask)
        else {
          const doubt = host.setTimeout(() => this.#line.probe(), LIMITS.patience)
          this.#line.send(command, (frame) => {
            host.clearTimeout(doubt)
            if (frame) settle(() => (frame.type === 'error' ? reject(errorOf(frame)) : resolve(frame)))
            else if (repeats) this.#waiting.push(ask)
            else
              settle(() =>
                reject(new TrunklineError('connection_lost', 'The line was lost before there was an answer.')),
              )
          })
        }
      }
      ask()
    })
  }

  async #page(channel: string, bound: Bound, limit: number, signal?: AbortSignal): Promise<Page> {
    // Where there is no line, as on a server that renders pages, HTTP gives the same.
    if (this.connection.get().state === 'idle') return this.#pageByHttp(channel, bound, limit, signal)
    const frame = await this.#request({ type: 'history', channel, ...bound, limit }, true, signal)
    return frame as unknown as Page
  }

  async #pageByHttp(channel: string, bound: Bound, limit: number, signal?: AbortSignal): Promise<Page> {
    const query = new URLSearchParams(Object.entries({ ...bound, limit }).map(([name, value]) => [name, `${value}`]))
    const token = await this.#line.token()
    const url = `${this.#api}/channels/${encodeURIComponent(channel)}/messages?${query}`
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {}
    const response = await this.#host.fetch(url, { signal, headers })
    const body = await response.json().catch(() => ({}))
    if (response.ok) return body as Page
    throw errorOf({ code: `http_${response.status}`, ...body })
  }
}

/** A client of a Trunkline server. */
export function createClient(options: ClientOptions = {}): Client {
  return new Client(options)
}

/** Where the line and the HTTP API are. */
function addresses(given: string | undefined): { ws: string; api: string } {
  const url = new URL(given ?? '/', globalThis.location?.href)
  if (!/^(ws|http)s?:$/.test(url.protocol))
    throw new TypeError(`${given} is no URL of a server; write wss://host or https://host`)
  const path = url.pathname.replace(/\/(ws)?$/, '')
  const rest = `${url.protocol.replace('http', 'ws')}//${url.host}${path}`
  return { ws: `${rest}/ws${url.search}`, api: `${rest.replace('ws', 'http')}/api/v1` }
}
