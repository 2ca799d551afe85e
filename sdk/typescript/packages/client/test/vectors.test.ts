// The golden vectors of `protocol/vectors`, which the server's tests run too: what the server writes is read as it was meant.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { messageOf } from '../src/channel.js'
import { isFinal } from '../src/codes.js'
import { errorOf, type Frame } from '../src/wire.js'
import { inWorld } from './help.js'

interface Case {
  name: string
  out: string
  push?: Meaning
  reply?: Meaning
}

interface Meaning {
  type: string
  position?: { epoch: string; offset: number }
  begins_epoch?: boolean
  ts?: number
  payload?: { json?: string; text?: string; base64?: string }
  from?: string
  key?: string
  reference?: { target: number; op: string }
  entry?: { name?: string; removed?: boolean }
  erased?: boolean
  code?: string
  message?: string
  retry_ms?: number
  items?: Meaning[]
  entries?: Meaning[]
  fold?: { rev: number; reactions: [string, number][] }
}

const vectors = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../../protocol/vectors/${name}.json`, import.meta.url), 'utf8'))

/** What a publication is to an application. */
function expected(meaning: Meaning): object {
  const { position, payload, reference, entry, fold } = meaning
  const erased = meaning.erased || reference?.op === 'delete' || entry?.removed
  return {
    offset: position?.offset ?? 0,
    epoch: meaning.begins_epoch ? position?.epoch : undefined,
    ts: meaning.ts,
    data: !erased && payload?.json !== undefined ? JSON.parse(payload.json) : undefined,
    text: erased ? undefined : payload?.text,
    binary: erased ? undefined : payload?.base64,
    from: meaning.from,
    key: meaning.key,
    ref: reference?.target,
    op: reference?.op ?? (entry?.removed ? 'delete' : undefined),
    entry: entry?.name,
    deleted: meaning.erased ? true : undefined,
    rev: fold?.rev || undefined,
    reactions: fold?.reactions.length ? Object.fromEntries(fold.reactions) : undefined,
  }
}

const face = (frame: Frame): object => {
  const { offset, epoch, ts, data, text, binary, from, key, ref, op, entry, deleted, rev, reactions } = messageOf(frame)
  return { offset, epoch, ts, data, text, binary, from, key, ref, op, entry, deleted, rev, reactions }
}

const pushes: Case[] = vectors('pushes').cases
const replies: Case[] = vectors('replies').cases

describe('pushes', () => {
  test.each(pushes.filter(({ push }) => push?.type === 'message'))('$name', ({ push, out }) => {
    expect(face(JSON.parse(out))).toEqual(expected(push as Meaning))
  })
})

describe('pages, lists and errors', () => {
  const lists = replies.filter(({ reply }) => (reply?.items ?? reply?.entries)?.length)
  test.each(lists)('$name', ({ reply, out }) => {
    const { items, entries } = JSON.parse(out) as { items?: Frame[]; entries?: Frame[] }
    expect((items ?? entries ?? []).map(face)).toEqual((reply?.items ?? reply?.entries ?? []).map(expected))
  })

  const refusals = [...replies, ...pushes].filter((one) => (one.reply ?? one.push)?.code !== undefined)
  test.each(refusals)('$name', ({ reply, push, out }) => {
    const meaning = (reply ?? push) as Meaning
    expect(errorOf(JSON.parse(out))).toMatchObject({
      code: meaning.code,
      message: meaning.message,
      retryAfter: meaning.retry_ms,
      offset: meaning.position?.offset,
    })
  })
})

test('close codes say whether to come back', () => {
  const { codes, others } = vectors('close-codes') as Record<string, { code: number; final: boolean }[]>
  for (const { code, final } of [...(codes ?? []), ...(others ?? [])])
    expect([code, isFinal(code)]).toEqual([code, final])
})

test('keys tell when they were born, by the clock of the server', async () => {
  const { world, channel, timeline } = inWorld()
  channel.subscribe()
  await world.pass(10)
  const born = world.now
  const draft = timeline.post('x')
  expect(draft?.key).toMatch(/^[0-9a-z]{1,13}-[0-9a-z]{1,50}$/)
  expect(Number.parseInt(String(draft?.key.split('-')[0]), 36)).toBe(born)
})
