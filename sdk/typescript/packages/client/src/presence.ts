// Who is in a channel, and what they say of themselves there. What was known stays while the line is down, so that nobody
// flickers; the next line tells all of it anew.

import type { Host } from './host.js'
import { LIMITS } from './limits.js'
import { Cell, type Store } from './store.js'
import type { Json, Member } from './types.js'
import { type Frame, number } from './wire.js'

/** What presence asks of its channel. */
export interface Place {
  host: Host
  /** The public id of this client, once it is known. */
  me(): string | undefined
  /** Says it, if the channel is followed now. */
  say(state: Json): void
}

export class Presence {
  /** Everybody, this client included. */
  readonly members: Store<readonly Member[]>
  /** How many, also where the server does not tell who. */
  readonly count: Store<number>
  /** Everybody else whose state has `typing: true`. */
  readonly typing: Store<readonly Member[]>
  readonly #place: Place
  readonly #members = new Cell<readonly Member[]>([])
  readonly #count = new Cell(0)
  readonly #typing = new Cell<readonly Member[]>([])
  #all = new Map<string, Member>()
  #state: Json | undefined
  #isTyping = false
  #timers: { show?: unknown; typing?: unknown } = {}

  constructor(place: Place) {
    this.#place = place
    this.members = this.#members
    this.count = this.#count
    this.typing = this.#typing
  }

  /** What is to be said with the next subscribe. */
  get state(): Json | undefined {
    if (!this.#isTyping) return this.#state
    return this.#state && typeof this.#state === 'object' ? { ...this.#state, typing: true } : { typing: true }
  }

  /** Says something of this client to everybody there: any JSON of at most 1 KiB, until the next. */
  set(state: Json): void {
    this.#state = state
    this.#place.say(this.state ?? {})
  }

  /** This client's user is typing, or has stopped. Call it at every keystroke; it stops by itself after 4 s. */
  setTyping(isTyping = true): void {
    const { host } = this.#place
    host.clearTimeout(this.#timers.typing)
    if (isTyping) this.#timers.typing = host.setTimeout(() => this.setTyping(false), LIMITS.typing)
    if (isTyping === this.#isTyping) return
    this.#isTyping = isTyping
    this.#place.say(this.state ?? {})
  }

  /** What the server tells: all of them, or what has changed. */
  take(frame: Frame): void {
    if (frame.all === true) this.#all.clear()
    for (const member of list<Member>(frame.set)) this.#all.set(member.client, member)
    for (const client of list<string>(frame.gone)) this.#all.delete(client)
    const count = number(frame.count) ?? this.#all.size
    if (count !== this.#count.get()) this.#count.set(count)
    this.#timers.show ??= this.#place.host.setTimeout(() => {
      this.#timers.show = undefined
      this.#show()
    }, LIMITS.frame)
  }

  #show(): void {
    const members = [...this.#all.values()]
    this.#members.set(members)
    const me = this.#place.me()
    const typing = members.filter((member) => member.client !== me && isTyping(member.state))
    const before = this.#typing.get()
    if (typing.length !== before.length || typing.some((member, at) => member !== before[at])) this.#typing.set(typing)
  }
}

const isTyping = (state: unknown): boolean =>
  typeof state === 'object' && state !== null && (state as { typing?: unknown }).typing === true

function list<Item>(value: unknown): Item[] {
  return Array.isArray(value) ? value : []
}
