// What the browser keeps for a person, so that a reload loses nothing: the name for all tabs; the session,
// the typed text and the unsent messages for this tab. Typed text is kept twice, should the tab be closed.

import type { Draft } from '@trunkline/client'

export class Memory {
  readonly #person: string

  constructor(person: string) {
    this.#person = person
  }

  get name(): string {
    return get(localStorage, this.#key('name')) ?? ''
  }

  set name(name: string) {
    put(localStorage, this.#key('name'), name)
  }

  get session(): string | undefined {
    return get(sessionStorage, this.#key('session'))
  }

  set session(session: string | undefined) {
    put(sessionStorage, this.#key('session'), session ?? '')
  }

  typed(channel: string): string {
    const key = this.#key('typed', channel)
    return get(sessionStorage, key) ?? get(localStorage, key) ?? ''
  }

  keepTyped(channel: string, text: string): void {
    const key = this.#key('typed', channel)
    const before = get(sessionStorage, key)
    put(sessionStorage, key, text)
    // Another tab may have something else in the shared place; only one's own is cleared.
    if (text !== '' || get(localStorage, key) === before) put(localStorage, key, text)
  }

  keepDrafts(channel: string, drafts: readonly Draft[]): void {
    const open = drafts.filter((draft) => draft.state !== 'sent')
    put(sessionStorage, this.#key('drafts', channel), open.length > 0 ? JSON.stringify(open) : '')
  }

  /** The unsent messages of every room, also of those that are not open now. */
  drafts(): { channel: string; drafts: Draft[] }[] {
    const prefix = this.#key('drafts', '')
    return keysOf(sessionStorage)
      .filter((key) => key.startsWith(prefix))
      .map((key) => ({ channel: key.slice(prefix.length), drafts: parseDrafts(get(sessionStorage, key)) }))
  }

  #key(what: string, channel?: string): string {
    const key = `trunkline.chat.${this.#person}.${what}`
    return channel === undefined ? key : `${key}.${channel}`
  }
}

function parseDrafts(text: string | undefined): Draft[] {
  try {
    const drafts: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(drafts) ? drafts.filter((draft) => typeof draft?.id === 'string') : []
  } catch {
    return []
  }
}

// A browser may refuse storage (private windows, full disks); the chat goes on without.

function get(storage: Storage, key: string): string | undefined {
  try {
    return storage.getItem(key) ?? undefined
  } catch {
    return undefined
  }
}

function put(storage: Storage, key: string, value: string): void {
  try {
    if (value === '') storage.removeItem(key)
    else storage.setItem(key, value)
  } catch {
    // Not kept, then.
  }
}

function keysOf(storage: Storage): string[] {
  try {
    return Object.keys(storage)
  } catch {
    return []
  }
}
