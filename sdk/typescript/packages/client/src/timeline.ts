// A channel's log as something to show: its messages, one's own that are on their way, and what can be done with both.

import type { Draft, Message, PublishOptions, Receipt, TimelineView } from './types.js'

/** What a timeline asks of its channel. */
export interface Source<Data> {
  get(): TimelineView<Data>
  subscribe(listener: () => void): () => void
  older(signal?: AbortSignal): Promise<TimelineView<Data>>
  post(data: Data): Draft<Data> | undefined
  retry(id: string): void
  discard(id: string): Draft<Data> | undefined
  restore(drafts: readonly Draft<Data>[]): void
  trim(keep: number): void
  publish(data: Data, options: PublishOptions): Promise<Receipt>
}

export class Timeline<Data = unknown> {
  readonly #source: Source<Data>

  constructor(source: Source<Data>) {
    this.#source = source
  }

  get = (): TimelineView<Data> => this.#source.get()
  subscribe = (listener: () => void): (() => void) => this.#source.subscribe(listener)

  /** Loads the newest page, or the one below what is held. Gives what is held then. */
  loadOlder = (signal?: AbortSignal): Promise<TimelineView<Data>> => this.#source.older(signal)

  /** Writes a message: it is shown at once as a draft, and sent as soon as it can be. `undefined`: too many wait. */
  post = (data: Data): Draft<Data> | undefined => this.#source.post(data)

  /** Sends a failed draft once more. */
  retry = (id: string): void => this.#source.retry(id)

  /** Takes a draft back that is not under way, and gives it. */
  discard = (id: string): Draft<Data> | undefined => this.#source.discard(id)

  /** Takes up drafts that were kept over a reload of the page. None is sent twice: they have their keys. */
  restore = (drafts: readonly Draft<Data>[]): void => this.#source.restore(drafts)

  /** Forgets the oldest messages beyond so many; `loadOlder` brings them back. */
  trim = (keep: number): void => this.#source.trim(keep)

  edit = (message: Message, data: Data): Promise<Receipt> =>
    this.#source.publish(data, { ref: message.offset, op: 'edit' })

  /** Erases its payload, here and at the server, for good. */
  remove = (message: Message): Promise<Receipt> =>
    this.#source.publish(undefined as Data, { ref: message.offset, op: 'delete' })

  react = (message: Message, reaction: string): Promise<Receipt> =>
    this.#source.publish(reaction as Data, { ref: message.offset, op: 'react' })

  unreact = (message: Message, reaction: string): Promise<Receipt> =>
    this.#source.publish(reaction as Data, { ref: message.offset, op: 'unreact' })
}
