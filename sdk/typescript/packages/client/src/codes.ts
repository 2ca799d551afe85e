// Made by scripts/codes.mjs from protocol/vectors: not to be edited.

/** What a server refuses with. */
export type ErrorCode =
  /** The command or request is malformed; the message says which field. */
  | 'bad_request'
  /** No command has this type. */
  | 'unknown_type'
  /** Who asks is not known, or not by a valid token. */
  | 'unauthorized'
  /** The token was valid; get a new one. */
  | 'token_expired'
  /** This user may not do this. */
  | 'forbidden'
  /** What was asked for does not exist. */
  | 'not_found'
  /** The channel's namespace is not configured. */
  | 'unknown_namespace'
  /** The message is larger than its limit. */
  | 'too_large'
  /** Too many commands in a short time; wait for `retry`. */
  | 'rate_limited'
  /** A limit is reached; the message names it. */
  | 'limit_exceeded'
  /** The idempotency key is older than keys are remembered. */
  | 'key_expired'
  /** The condition of the publish does not hold. */
  | 'conflict'
  /** The log no longer holds what the position names. */
  | 'rewound'
  /** It cannot be done now; wait for `retry`. */
  | 'not_available'
  /** No answer in time; repeat with the same key. */
  | 'timeout'
  /** The server failed; repeat with the same key. */
  | 'internal'
  /** The server is about to end; connect again. */
  | 'draining'

/** Whether a client must not come back by itself after this close code. */
export const isFinal = (code: number): boolean =>
  (code >= 4400 && code < 4500) || [1002, 1003, 1007, 1009, 1010].includes(code)
