// What an application says and is told. Plain data.

import type { ErrorCode } from './codes.js'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/**
 * Types of your own, by channel. Augment it once:
 * `declare module '@trunkline/client' { interface Register { channels: { 'chat:*': ChatMessage } } }`
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is for applications to fill.
export interface Register {}

type Channels = Register extends { channels: infer Named } ? Named : Record<never, never>
type PatternsOf<Name extends string> = {
  [Pattern in keyof Channels]: Pattern extends `${infer Start}*`
    ? Name extends `${Start}${string}`
      ? Pattern
      : never
    : Name extends Pattern
      ? Pattern
      : never
}[keyof Channels]

/** What is published in a channel of this name, as {@link Register} says; `any` where it says nothing. */
// biome-ignore lint/suspicious/noExplicitAny: whoever registers no types is not asked to cast.
export type DataOf<Name extends string> = [PatternsOf<Name>] extends [never] ? any : Channels[PatternsOf<Name>]

/** The place of a publication. It names that publication for ever. */
export interface Position {
  epoch: string
  offset: number
}

/** What a reference does to an earlier message, or to an entry. */
export type Op = 'edit' | 'delete' | 'react' | 'unreact'

/** One publication of a channel. */
export interface Message<Data = unknown> {
  /** Its place: 1, 2, 3… in a log. `0` in a channel that stores nothing. */
  offset: number
  /** The life of the store in which it was stored. Known where it begins, and from there on. */
  epoch?: string
  /** When it was stored, in ms since 1970, by the server's clock. */
  ts: number
  /** The payload, unless it was published as `text` or `binary`, or is erased. */
  data: Data
  text?: string
  /** Bytes in base64. */
  binary?: string
  /** The user who published it; absent: the server's own HTTP API. */
  from?: string
  /** Its publisher's own name for it. */
  key?: string
  /** In a map: whose newest state it is. */
  entry?: string
  /** What it does, to the message at `ref` or to its entry. */
  op?: Op
  ref?: number
  /** The newest edit, deletion or reaction that is in it. */
  rev?: number
  /** Each reaction, and how many users gave it. */
  reactions?: Readonly<Record<string, number>>
  /** The payload is erased. */
  deleted?: boolean
}

/** A range of a log: everything in `lo` to `hi`, ascending. One that covers nothing has `hi = lo - 1`. */
export interface Page<Data = unknown> {
  epoch: string
  /** The newest offset of the channel when the page was made. */
  top: number
  lo: number
  hi: number
  items: Message<Data>[]
  /** The first offset that can be read. */
  floor: number
  /** Whether there is more in the direction that was asked for. */
  more: boolean
}

/** The acknowledgement of a publish: it is stored. */
export interface Receipt {
  /** Absent in a channel that stores nothing. */
  offset?: number
  epoch?: string
  ts: number
  key: string
  /** An earlier attempt, or an earlier publish with the same key, had stored it. */
  dup?: boolean
}

export interface PublishOptions {
  /** Your own name for it: under the same key it is stored once. One is made if there is none. */
  key?: string
  /** Takes it back, as long as it was not sent. */
  signal?: AbortSignal
  /** In a map: whose newest state this is. */
  entry?: string
  /** The message that this is about, and what it does. */
  ref?: number
  op?: Op
  /** Store it only if this is the newest offset of the channel (in a map: of the entry); 0: there is none. */
  if?: number
  /** In a value or a map: the entry goes by itself after so many ms. */
  ttl?: number
  /** In a value or a map: the entry goes when this client has gone. */
  bind?: boolean
}

/**
 * What the author sees before the log has it:
 * ```text
 * waiting ──▶ sending ──▶ sent ──▶ (in the log)
 *    ▲           │ lost line
 *    └───────────┤
 *                └──▶ failed ──▶ waiting (retry)
 * ```
 */
export interface Draft<Data = unknown> {
  id: string
  data: Data
  /** When it was written. */
  at: number
  state: 'waiting' | 'sending' | 'sent' | 'failed'
  /** Kept through all attempts. */
  key: string
  /** Where it stands, once the server has said so. */
  offset?: number
  epoch?: string
  ts?: number
  error?: TrunklineError
}

/** A log as one client sees it: a range of it without a hole, and one's own messages that are not in it yet. */
export interface TimelineView<Data = unknown> {
  /** Ascending, each once. */
  messages: readonly Message<Data>[]
  drafts: readonly Draft<Data>[]
  /** The past was looked at, so that no messages means that there are none. */
  loaded: boolean
  hasOlder: boolean
  /** So many messages after `from` were skipped: too many to be fetched unasked, or not there any more. */
  missed?: { from: number; count: number }
  /** Everything from `lo` to `head` is known. */
  lo: number
  head: number
  /** Changes when what was held was dropped. Pages that were asked for before are of no use any more. */
  generation: number
}

/** Somebody in a channel. */
export interface Member {
  /** Tells members apart: the public id of a session. */
  client: string
  user: string
  /** What it calls itself. */
  name?: string
  /** What its token says of the user. */
  info?: Json
  state?: Json
}

/** What a subscriber is told between the messages. */
export type Notice =
  /** The line was lost and is back; nothing is missing. */
  | { type: 'recovered' }
  /** The log has lost what it had above `keep` (all of it, if that is absent): drop what you hold of it. */
  | { type: 'rewound'; keep?: number }
  /** So many messages are skipped. Pages have what is still there. */
  | { type: 'missed'; count: number }

export type ConnectionState = 'idle' | 'connecting' | 'online' | 'waiting' | 'offline' | 'closed'

/** How the line stands. */
export interface Connection {
  state: ConnectionState
  /** Attempts since it was lost. */
  attempt: number
  /** When the next attempt comes, in ms since 1970 by this machine's clock. */
  retryAt?: number
  /** Since when it is in this state; while it is down: since when it is down. */
  since: number
  /** How long an answer took the last time, in ms. */
  rtt?: number
  everOnline: boolean
  /** Why it is down, if somebody said so. */
  error?: TrunklineError
  /** Publishes that are not acknowledged yet. */
  pending: number
}

export type ChannelState = 'idle' | 'subscribing' | 'live' | 'resyncing' | 'denied'

export interface ChannelStatus {
  state: ChannelState
  /** Why it is denied, or is not live for now. */
  error?: TrunklineError
}

/** What went wrong, with a code that stays. */
export class TrunklineError extends Error {
  readonly code: ErrorCode | LocalCode
  /** After so many ms it makes sense to try again. */
  readonly retryAfter?: number
  /** With `conflict`: the newest offset. */
  readonly offset?: number

  constructor(code: ErrorCode | LocalCode, message: string, retryAfter?: number, offset?: number) {
    super(message)
    this.name = 'TrunklineError'
    this.code = code
    this.retryAfter = retryAfter
    this.offset = offset
  }
}

/** What goes wrong on this side. */
export type LocalCode =
  /** The line was lost before there was an answer; what was asked may be done. */
  | 'connection_lost'
  /** The client was closed, by its application or for good by the server. */
  | 'closed'
  /** Somebody else goes on with this session: another tab, or another machine. */
  | 'replaced'
  /** As many publishes wait as may. */
  | 'queue_full'
  /** It has waited in the queue for longer than it may. */
  | 'expired'
  /** A token was asked for, and there was none. */
  | 'no_token'
