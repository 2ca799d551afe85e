// Every cap of the client. Times are in ms.

export const LIMITS = {
  /** A gap up to this many entries is filled; a wider one is jumped over and told. */
  backfill: 500,
  /** Messages that wait above a gap; beyond it they are dropped and fetched again. */
  ahead: 5_000,
  /** References that are remembered, to be applied to pages that are older than they are. */
  references: 1_000,
  /** Own acknowledged messages that are remembered, to be published again should the log be rewound. */
  acknowledged: 100,
  /** Publishes of a channel that are under way at a time. */
  inFlight: 8,
  /** Messages of one page of history. */
  page: 50,
  /** How long the server may take to welcome, and to answer, before the line is doubted. */
  patience: 10_000,
  /** How long a probe waits for its answer. */
  probe: 3_000,
  /** The cap of the first wait before a reconnect, doubled with each failure in a row. */
  backoffFirst: 500,
  backoffMax: 20_000,
  /** The longest `retry` of a server that is obeyed. */
  retryMax: 300_000,
  /** A line that was up for this long was a good one: the waits begin anew. */
  steady: 5_000,
  /** How long a channel that nobody follows any more stays subscribed. */
  linger: 1_000,
  /** Stores are renewed at most once in this time. */
  frame: 16,
  /** Bytes of one `connect` that names channels to go on with. */
  connectBytes: 48 << 10,
  /** How long before its end a token is renewed, if it lives for twice as long. */
  renewal: 60_000,
  /** How long "is typing" holds without another keystroke. */
  typing: 4_000,
  /** Messages that wait for a `for await` that does not come around. */
  unread: 10_000,
} as const

/** How long to wait where a server named a time: that long, unless it is so short that all would come at once. */
export function patience(retry: number | undefined, jittered: number): number {
  if (retry === undefined) return jittered
  return Math.min(retry < 1_000 ? Math.max(retry, jittered) : retry, LIMITS.retryMax)
}

/** Full jitter: anywhere between at once and a cap that doubles with each failure. */
export function backoff(failures: number, random: number): number {
  return random * Math.min(LIMITS.backoffMax, LIMITS.backoffFirst * 2 ** failures)
}
