// What a message carries, looked at with suspicion: anyone may publish anything to a room.

import type { Message } from '@trunkline/client'

export interface ChatPayload {
  type: 'chat'
  text: string
  name: string
}

/** A chat message as it is meant to be, or anything else as plain text. */
export type Reading =
  | { kind: 'chat'; text: string; name: string }
  | { kind: 'odd'; shown: string }
  | { kind: 'deleted' }

export const NAME_MAX = 40
const SHOWN_MAX = 4_000

export function read(payload: Partial<Pick<Message, 'data' | 'text' | 'binary' | 'deleted'>>): Reading {
  const { data, text, binary, deleted } = payload
  if (deleted) return { kind: 'deleted' }
  if (isChat(data)) return { kind: 'chat', text: clip(data.text), name: cleanName(data.name) }
  if (data !== undefined) return { kind: 'odd', shown: clip(JSON.stringify(data, null, 2) ?? String(data)) }
  if (text !== undefined) return { kind: 'odd', shown: clip(String(text)) }
  return { kind: 'odd', shown: `binary ${clip(String(binary ?? ''))}` }
}

/** A name on one line, without what could turn the line around, and not too long. */
export function cleanName(name: unknown): string {
  if (typeof name !== 'string') return ''
  const plain = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ').replace(/\s+/g, ' ')
  return [...plain.trim()].slice(0, NAME_MAX).join('').trim()
}

function isChat(data: unknown): data is { text: string; name?: unknown } {
  if (data === null || typeof data !== 'object') return false
  const { type, text } = data as Record<string, unknown>
  return type === 'chat' && typeof text === 'string'
}

function clip(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text
}
