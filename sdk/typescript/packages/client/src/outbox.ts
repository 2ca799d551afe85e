// The publishes of one channel from the call to the acknowledgement, in order: what waits for a line, what is under way,
// and what was acknowledged and may have to be published again. Knows no line and no clock.

import { LIMITS } from './limits.js'
import { type Draft, type Message, type Receipt, TrunklineError } from './types.js'
import type { Frame } from './wire.js'

/** One publish. */
export interface Outgoing {
  draft: Draft
  /** What is sent, but for type, id, channel and key. */
  body: Frame
  /** Whether it stands below the messages until it is among them. */
  shown: boolean
  /** The key is of our making: nobody else can have it, so a message that has it is this one. */
  ours: boolean
  /** It came from an earlier life of the page, and may be in the log already. */
  restored?: boolean
  /** It may be stored. */
  sent?: boolean
  /** It was acknowledged once, and is published again: its author has had an answer, and waits for none. */
  again?: boolean
  settle?: (outcome: Receipt | TrunklineError) => void
}

export class Outbox {
  /** Counts changes of what is shown. */
  changes = 0
  #items: Outgoing[] = []
  #acknowledged: Outgoing[] = []

  get size(): number {
    return this.#items.length
  }

  /** How many are not acknowledged and have not failed. */
  get unsent(): number {
    return this.#items.filter(({ draft: { state } }) => state === 'waiting' || state === 'sending').length
  }

  drafts(): readonly Draft[] {
    return this.#items.filter((item) => item.shown).map((item) => item.draft)
  }

  find(id: string): Outgoing | undefined {
    return this.#items.find((item) => item.draft.id === id)
  }

  add(item: Outgoing): void {
    this.#items = [...this.#items, item]
    this.changes += 1
  }

  /** Those that wait, in the order in which they were written. */
  waiting(): Outgoing[] {
    return this.#items.filter((item) => item.draft.state === 'waiting')
  }

  /** Those of them that may be sent now. `seen`: the newest page was looked at; `inFlight`: so many may be under way. */
  next(seen: boolean, inFlight: number): Outgoing[] {
    const all = this.waiting()
    const blocked = all.findIndex((item) => item.restored && !seen)
    const room = inFlight - this.#items.filter((item) => item.draft.state === 'sending').length
    return (blocked < 0 ? all : all.slice(0, blocked)).slice(0, Math.max(0, room))
  }

  change(id: string, change: Partial<Draft>): void {
    this.#items = this.#items.map((item) =>
      item.draft.id === id ? { ...item, draft: { ...item.draft, ...change } } : item,
    )
    this.changes += 1
  }

  remove(id: string): Outgoing | undefined {
    const item = this.find(id)
    if (item) this.#items = this.#items.filter((other) => other !== item)
    this.changes += 1
    return item
  }

  /** It will not be stored. What is shown stays, for its author to decide. */
  failed(id: string, error: TrunklineError): void {
    const item = this.find(id)
    if (item?.shown) this.change(id, { state: 'failed', error })
    else this.remove(id)
    item?.settle?.(error)
  }

  /** The server has it. It stays visible as sent until the log's own copy is here. */
  acknowledged(id: string, receipt: Receipt, head: number): void {
    const item = this.find(id)
    if (!item) return
    const { offset, epoch, ts } = receipt
    this.change(id, { state: 'sent', offset, epoch, ts, error: undefined })
    this.#remember(id)
    if (!item.shown || !offset || offset <= head) this.remove(id)
    item.settle?.(receipt)
  }

  /** A message of the channel: perhaps it is one of these. */
  seen({ key, offset, epoch, ts }: Message): void {
    if (key === undefined || this.#items.length === 0) return
    const item = this.#items.find((other) => other.ours && other.draft.key === key)
    if (!item) return
    this.change(item.draft.id, { state: 'sent', offset, epoch, ts })
    this.#remember(item.draft.id)
    this.remove(item.draft.id)
    item.settle?.({ offset: offset || undefined, epoch, ts, key })
  }

  /** The line is lost: whether the unanswered ones are stored is not known; their keys will tell. */
  lost(): void {
    for (const { draft } of this.#items) if (draft.state === 'sending') this.change(draft.id, { state: 'waiting' })
  }

  /** The log has come to `head`. What stands below it is in the log, or was lost with an epoch. */
  covered(head: number, isOf: (offset: number, epoch?: string) => boolean): void {
    for (const { draft } of this.#items) {
      if (draft.state !== 'sent' || draft.offset === undefined || draft.offset > head) continue
      if (isOf(draft.offset, draft.epoch)) this.remove(draft.id)
      else this.change(draft.id, { state: 'waiting', offset: undefined, epoch: undefined })
    }
  }

  /** What the log has lost above `keep` is published again, under the keys that it had, before all that is newer. */
  again(keep: number): void {
    // What is at that offset by then is another message.
    const isGone = (item: Outgoing) => Number(item.body.ref ?? 0) > Math.max(0, keep)
    for (const item of this.waiting().filter(isGone)) {
      this.failed(item.draft.id, new TrunklineError('rewound', 'The message that it is about was lost.'))
    }
    const isLost = (item: Outgoing) => (item.draft.offset ?? 0) > keep
    const lost = this.#acknowledged
      .filter((item) => isLost(item) && !isGone(item))
      .map((item): Outgoing => {
        const { id, data, at, key } = item.draft
        return { ...item, settle: undefined, again: true, draft: { id, data, at, key, state: 'waiting' } }
      })
    this.#acknowledged = this.#acknowledged.filter((item) => !isLost(item))
    if (lost.length === 0) return
    const isAgain = (item: Outgoing) => lost.some((other) => other.draft.id === item.draft.id)
    this.#items = [...lost, ...this.#items.filter((item) => !isAgain(item))]
    this.changes += 1
  }

  /** Ends all of them. */
  end(error: TrunklineError): void {
    for (const { draft } of this.#items) if (draft.state !== 'failed') this.failed(draft.id, error)
  }

  #remember(id: string): void {
    const item = this.find(id)
    if (!item?.draft.offset) return
    const others = this.#acknowledged.filter((other) => other.draft.id !== id)
    this.#acknowledged = [...others, item].slice(-LIMITS.acknowledged)
  }
}
