// One channel's log as far as it is known: a range without holes, and what waits beside it. Pure: no clock, no line.
// Merging is the union of sets by offset, so the order in which pages, replays and pushes come does not matter.
//
//   offset ≤ head      it is there already
//   offset = head + 1  appended, and with it all of `ahead` that has become contiguous
//   offset > head + 1  kept ahead; `wants` says from where to fetch

import { LIMITS } from './limits.js'
import type { Outbox } from './outbox.js'
import type { Message, Notice, Page, Position, TimelineView } from './types.js'

/** What a page was asked for with; `{}` is the newest one. */
export interface Bound {
  before?: number
  after?: number
}

/** What a `subscribed` says of a log. */
export interface Subscribed {
  epoch?: string
  offset?: number
  floor?: number
  recovered?: boolean
  reason?: string
  keep?: number
}

/** The `rev` of a message of which it is not known what is in it. */
const UNSURE = -1

export class Log {
  generation = 0
  /** The server's log and this one differ below the head: `restart`, then subscribe anew. */
  forked = false
  readonly #outbox: Outbox
  #items: Message[] = []
  /** The references of the range. Pages that are older than they are must be brought up to date with them. */
  #references: Message[] = []
  /** The newest reference that was forgotten: an older page cannot be brought up to date. */
  #forgotten = 0
  #range: { lo: number; head: number } | undefined
  #headEpoch: string | undefined
  #ahead = new Map<number, Message>()
  /** An offset that exists, lies above the head and is not going to be pushed: it must be fetched. */
  #known = 0
  /** Messages up to here may lack what references did to them that no page shows any more. */
  #doubt = 0
  /** Pages of a log that had not come so far do not help with that. */
  #sureFrom = 0
  /** Where the last subscribe stood; below it the client has not caught up. */
  #target = 0
  #streamEpoch: string | undefined
  #resync = false
  #floor = 1
  #atStart = false
  #loaded = false
  #missed: TimelineView['missed']
  #told: (Message | Notice)[] = []

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  get head(): number {
    return this.#range?.head ?? 0
  }

  get lo(): number {
    return this.#range?.lo ?? 1
  }

  /** Whether a message is held that was published under this key. */
  has(key: string): boolean {
    return this.#items.some((message) => message.key === key)
  }

  get loaded(): boolean {
    return this.#loaded
  }

  /** A hole can never be drawn, so there is older only below `lo`. */
  get hasOlder(): boolean {
    return !this.#range || (!this.#atStart && this.lo > Math.max(1, this.#floor))
  }

  /** From where to continue; `undefined` before the first subscribe, or where that is not known. */
  get position(): Position | undefined {
    return this.#range && this.#headEpoch ? { epoch: this.#headEpoch, offset: this.head } : undefined
  }

  /** Everything up to the place of the last subscribe is here. */
  get caughtUp(): boolean {
    return !!this.#range && !this.#resync && this.head >= this.#target
  }

  /** What must be fetched. */
  get wants(): Bound | undefined {
    if (this.#resync) return {}
    if (!this.#range) return undefined
    if (this.#known > this.head) return { after: this.head }
    return this.#doubt >= this.lo ? { before: this.#doubt + 1 } : undefined
  }

  view(): TimelineView {
    return {
      messages: this.#items.slice(),
      drafts: this.#outbox.drafts(),
      loaded: this.#loaded,
      hasOlder: this.hasOlder,
      generation: this.generation,
      missed: this.#missed,
      lo: this.lo,
      head: this.head,
    }
  }

  /** What a subscriber has not been told yet, in order. */
  told(): (Message | Notice)[] {
    const told = this.#told
    if (told.length > 0) this.#told = []
    return told
  }

  /** The answer to a subscribe, or the news of a rewind. `asked`: the position it was asked to continue. */
  subscribed(frame: Subscribed, asked?: Position): void {
    const place = frame.offset ?? 0
    const first = !this.#range
    this.#floor = Math.max(this.#floor, frame.floor ?? 1)
    this.#target = place
    this.#streamEpoch = frame.recovered ? asked?.epoch : frame.epoch
    // What was acknowledged beyond the end of the log, or of what is left of it, is lost.
    this.#outbox.again(frame.reason === 'rewound' ? Math.min(frame.keep ?? -1, place) : place)
    if (frame.recovered === false && !first) this.#notRecovered(frame, place)
    else if (first) this.#beginAt(place, frame.epoch)
    else if (!asked && differ(this.#epochAt(place), frame.epoch)) this.forked = true
    // What lies between head and `place` is replayed if it could be recovered, else it is fetched.
    else this.#known = frame.recovered ? 0 : Math.max(this.#known, place)
    if (frame.recovered && !first) this.#told.push({ type: 'recovered' })
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
    this.#told.push({ type: 'rewound', keep })
    this.#outbox.again(keep ?? -1)
    if (keep === undefined || keep < this.lo) {
      this.#drop()
      this.#beginAt(place, frame.epoch)
      return
    }
    this.#items = this.#items.filter((message) => message.offset <= keep)
    // References that are lost are in them.
    this.#unsure((message) => (message.rev ?? 0) > keep, keep)
    this.#references = this.#references.filter((reference) => reference.offset <= keep)
    const head = Math.min(this.head, keep)
    if (head < this.head) this.#headEpoch = place === keep ? frame.epoch : this.#epochAt(keep)
    this.#range = { lo: this.#items[0]?.offset ?? head + 1, head }
    this.#known = place
  }

  /**
   * What is in these messages is not known any more: they are fetched again, from a log that has come to `top`, and until
   * then nothing is done to them.
   */
  #unsure(which: (message: Message) => boolean, top: number): void {
    this.#sureFrom = top
    this.#items = this.#items.map((message) => {
      if (!which(message)) return message
      this.#doubt = Math.max(this.#doubt, message.offset)
      return { ...message, rev: UNSURE }
    })
  }

  #drop(): void {
    this.#items = []
    this.#references = []
    this.#doubt = 0
    this.#missed = undefined
    this.#atStart = false
  }

  #beginAt(place: number, epoch: string | undefined): void {
    this.#range = { lo: place + 1, head: place }
    this.#headEpoch = epoch
    this.#known = 0
  }

  /** Forgets the log, not the drafts: when the head's epoch is not known, nothing can be continued. */
  restart(): void {
    if (this.forked) this.#outbox.again(-1)
    if (this.#range) this.#told.push({ type: 'rewound' })
    this.forked = false
    this.generation += 1
    this.#drop()
    this.#range = undefined
    this.#headEpoch = undefined
    this.lost()
    this.#resync = false
    this.#loaded = false
  }

  /** The line is lost. What lies ahead of a gap is dropped: only of the head can the next line say if it still holds. */
  lost(): void {
    this.#ahead.clear()
    this.#known = 0
    // A page knew of references that are yet to be pushed, and may be lost by then.
    this.#unsure((message) => (message.rev ?? 0) > this.head, this.head)
  }

  /** Nothing can be fetched: goes on with what is pushed, and says so. */
  skip(): void {
    const to = Math.max(this.#target, this.#known)
    this.#resync = false
    this.#doubt = 0
    if (to <= this.head) return
    const missed = { from: this.head, count: to - this.head }
    this.generation += 1
    this.#drop()
    this.#beginAt(to, to === this.#target ? this.#streamEpoch : undefined)
    this.#missed = missed
    this.#told.push({ type: 'missed', count: missed.count })
    this.#settle()
  }

  /** A pushed or replayed message. */
  message(message: Message): void {
    this.#streamEpoch = message.epoch ?? this.#streamEpoch
    this.#outbox.seen(message)
    if (!this.#range || !(message.offset > 0)) return
    if (message.offset <= this.head) {
      if (differ(this.#epochAt(message.offset), this.#streamEpoch)) this.forked = true
      return
    }
    if (this.#ahead.size >= LIMITS.ahead) this.#ahead.clear()
    this.#ahead.set(message.offset, this.#streamEpoch ? { ...message, epoch: this.#streamEpoch } : message)
    if (message.offset > this.head + 1) this.#known = Math.max(this.#known, message.offset)
    this.#settle()
  }

  /** A page asked for in `generation`. False: it does not touch the range, or is of an older log. */
  page(given: Page, bound: Bound, generation: number): boolean {
    const isOld = given.top < this.#forgotten || (this.#doubt >= this.lo && given.top < this.#sureFrom)
    if (generation !== this.generation || isOld) return false
    const page = this.#range && !this.#resync && bound.after === undefined ? upTo(this.head, given) : given
    this.#floor = Math.max(this.#floor, page.floor)
    if (bound.before !== undefined && !page.more && page.hi < page.lo) {
      this.#atStart = true
      this.#loaded = true
      this.#doubt = 0
      return true
    }
    const items = withEpochs(page)
    const touches = !this.#range || (page.lo <= this.head + 1 && page.hi >= this.lo - 1)
    if (!touches) return this.#apart(page, items, bound)
    if (!this.#agrees(page, items)) {
      this.forked = bound.after !== undefined
      return false
    }
    if (this.#resync && bound.before === undefined) {
      this.#resync = false
      this.#known = Math.max(this.#known, this.#target)
    }
    this.#unite(page, items, !!this.#range)
    if (bound.before === this.#doubt + 1) this.#doubt = page.lo - 1
    if (bound.after === undefined && !page.more) this.#atStart = true
    this.#settle()
    return true
  }

  /**
   * A page may have been read from the log before or after a rewind of which the line has not told yet. Epochs tell: two
   * messages at one offset are one only if their epochs are.
   */
  #agrees(page: Page, items: Message[]): boolean {
    if (items.some((message) => differ(this.#epochAt(message.offset), message.epoch))) return false
    if (this.head === 0 || page.hi !== page.top || page.hi < this.head) return true
    const newer = items.filter((message) => message.offset > this.head)
    // A reference that a page does not show may begin an epoch.
    if (newer.length < page.hi - this.head) return true
    // Whoever begins an epoch names it, so what follows the head without a name is of the head's.
    const begun = page.items.findLast((message) => message.offset > this.head && message.epoch !== undefined)
    return !differ(begun?.epoch ?? this.#headEpoch, page.epoch)
  }

  #epochAt(offset: number): string | undefined {
    if (offset === 0) return undefined
    if (offset === this.head) return this.#headEpoch
    const isIt = (message: Message) => message.offset === offset
    return (this.#items.findLast(isIt) ?? this.#references.findLast(isIt))?.epoch
  }

  /** `tells`: whether what is newer is new to subscribers. */
  #unite(page: Page, items: Message[], tells: boolean): void {
    const { lo, head } = this.#range ?? { lo: page.lo, head: page.lo - 1 }
    for (const message of items) if (message.offset >= lo && message.offset <= head) this.#replace(message)
    const older = items.filter((message) => message.offset < lo)
    const newer = items.filter((message) => message.offset > head)
    this.#items = [...older, ...this.#items, ...newer]
    if (page.hi > head) {
      const last = newer.at(-1)
      if (page.hi === page.top) this.#headEpoch = page.epoch
      else if (last?.offset !== page.hi || last.epoch || lo > head) {
        this.#headEpoch = last?.offset === page.hi ? last.epoch : undefined
      }
      // What is not among the items is a reference, perhaps to a message that the page does not show.
      if (newer.length < page.hi - head && page.lo > lo) {
        this.trim(4 * LIMITS.page)
        this.#unsure((message) => message.offset < page.lo, page.top)
      }
      if (tells) this.#told.push(...newer)
    }
    this.#range = { lo: Math.min(this.#range?.lo ?? lo, page.lo), head: Math.max(head, page.hi) }
    this.#loaded = true
    for (const reference of this.#references) if (reference.offset > page.top) this.#apply(reference)
    for (const message of items) this.#outbox.seen(message)
  }

  /** A page with a hole between it and the range: back-fill, jump, or leave it. */
  #apart(page: Page, items: Message[], bound: Bound): boolean {
    if (bound.before !== undefined || page.lo <= this.head + 1) return false
    if (bound.after !== undefined) {
      // What followed the head has been trimmed meanwhile.
      this.#resync = true
      return true
    }
    if (!this.#resync) return false
    this.#resync = false
    const count = page.lo - 1 - this.head
    if (count <= LIMITS.backfill && this.head + 1 >= this.#floor) {
      this.#known = Math.max(this.#known, page.hi)
      return true
    }
    const missed = { from: this.head, count }
    this.generation += 1
    this.#drop()
    this.#missed = missed
    this.#range = undefined
    this.#atStart = !page.more
    this.#told.push({ type: 'missed', count })
    this.#unite(page, items, true)
    this.#known = this.#target
    this.#settle()
    return true
  }

  /** Takes over what has become contiguous. */
  #settle(): void {
    if (!this.#range) return
    let next = this.#ahead.get(this.head + 1)
    while (next) {
      this.#append(next)
      this.#range.head = next.offset
      this.#headEpoch = next.epoch ?? this.#headEpoch
      next = this.#ahead.get(this.head + 1)
    }
    for (const offset of this.#ahead.keys()) if (offset <= this.head) this.#ahead.delete(offset)
    // Another epoch at its place: what was acknowledged is lost, though the head never was that far.
    this.#outbox.covered(this.head, (offset, epoch) => !differ(this.#epochAt(offset), epoch))
  }

  #append(message: Message): void {
    this.#told.push(message)
    if (message.ref === undefined) {
      this.#items.push(message)
      return
    }
    this.#references.push(message)
    if (this.#references.length > LIMITS.references) this.#forgotten = this.#references.shift()?.offset ?? 0
    this.#apply(message)
  }

  #apply(reference: Message): void {
    const at = this.#items.findLastIndex((message) => message.offset === reference.ref)
    const message = this.#items[at]
    if (message && message.rev !== UNSURE) this.#items[at] = fold(message, reference)
  }

  /** Of two copies the one with more in it: pages may come in another order than they were made in. */
  #replace(message: Message): void {
    const at = this.#items.findLastIndex((held) => held.offset === message.offset)
    const held = this.#items[at]
    if (held && (message.rev ?? 0) > (held.rev ?? 0))
      this.#items[at] = { ...message, epoch: held.epoch ?? message.epoch }
  }

  /** Forgets the oldest messages beyond `keep`; they can be loaded again. */
  trim(keep: number): void {
    const first = this.#items[this.#items.length - keep]
    if (!first || !this.#range || this.#items.length <= keep) return
    this.#items = this.#items.slice(-keep)
    this.#range.lo = first.offset
    this.#atStart = false
  }
}

/** What a reference makes of the message that it is about: an edit, a deletion, a reaction. */
export function fold(message: Message, reference: Message): Message {
  if (reference.offset <= (message.rev ?? 0)) return message
  const next: Message = { ...message, rev: reference.offset }
  const { op, data, text, binary } = reference
  if (op === 'delete') {
    return { ...next, data: undefined, text: undefined, binary: undefined, reactions: undefined, deleted: true }
  }
  if (message.deleted || reference.deleted) return next
  if (op === 'edit') return { ...next, data, text, binary }
  const value = String(data ?? text)
  const before = message.reactions ?? {}
  const count = (Object.hasOwn(before, value) ? Number(before[value]) : 0) + (op === 'react' ? 1 : -1)
  const { [value]: _before, ...others } = before
  // One that stands already keeps its place among them.
  const counted = count > 0 ? { ...message.reactions, [value]: count } : others
  return { ...next, reactions: Object.keys(counted).length > 0 ? counted : undefined }
}

/** A page without what lies above `head`, which is going to be pushed, references and all. */
function upTo(head: number, page: Page): Page {
  if (page.hi <= head) return page
  return { ...page, hi: Math.max(head, page.lo - 1), items: page.items.filter((message) => message.offset <= head) }
}

/** Messages need name their epoch only where a new one begins; here each gets its own as far as it is known. */
function withEpochs(page: Page): Message[] {
  const whole = page.items.length === page.hi - page.lo + 1
  const unnamed = page.items.every((message) => message.epoch === undefined)
  let epoch = whole && unnamed && page.hi === page.top ? page.epoch : undefined
  return page.items.map((message) => {
    // Between two messages that are not next to each other a reference may have begun another.
    epoch = message.epoch ?? (whole ? epoch : undefined)
    return epoch === message.epoch ? message : { ...message, epoch }
  })
}

/** Both are known, and they are not the same. */
function differ(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && one !== other
}
