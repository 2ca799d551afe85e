// Objects of `trunkline.v1` as they come: nothing in them is believed to be there.

import type { ErrorCode } from './codes.js'
import { type LocalCode, TrunklineError } from './types.js'

export type Frame = Record<string, unknown>

export const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
export const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)

/** Calls `reject` when `signal` is aborted, or is already, until the returned function is called. */
export function onAbort(signal: AbortSignal | undefined, reject: (reason: unknown) => void): () => void {
  if (!signal) return () => {}
  const abort = () => reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}

/** What an `error`, an `unsubscribed` or a problem of the HTTP API says. */
export function errorOf(frame: Frame): TrunklineError {
  const code = (text(frame.code) ?? 'internal') as ErrorCode | LocalCode
  const message = text(frame.message) ?? text(frame.detail) ?? text(frame.title) ?? code
  return new TrunklineError(code, message, number(frame.retry), number(frame.offset))
}
