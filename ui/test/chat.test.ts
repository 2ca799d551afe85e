// The pure parts of the chat page: room names, payloads nobody vouches for, and rows.

import type { Message, TimelineView } from '@trunkline/client'
import { describe, expect, test } from 'vitest'
import { cleanName, read } from '../src/chat/payload'
import { roomOf } from '../src/chat/room'
import { type Row, rowsOf } from '../src/chat/rows'

describe('rooms', () => {
  test.each(['lobby', 'A-Z_0.9:~@', 'x'.repeat(250)])('%s is one', (name) => {
    expect(roomOf(name)).toEqual({ name, channel: `chat:${name}` })
  })

  test.each([
    ['', 'needs a name'],
    ['two words', 'a space'],
    ['café', '“é”'],
    ['a/b', '“/”'],
    ['👋', '“👋”'],
    ['x'.repeat(251), '250 is the most'],
  ])('%j is none, and why', (name, why) => {
    expect(roomOf(name).problem).toContain(why)
  })
})

describe('payloads', () => {
  test('a chat message is read as one', () => {
    const data = { type: 'chat', text: '<b>Hi</b>', name: 'Ann' }
    expect(read({ data })).toEqual({ kind: 'chat', text: '<b>Hi</b>', name: 'Ann' })
  })

  test.each([
    [{ data: null }, 'null'],
    [{ data: 3 }, '3'],
    [{ data: { type: 'chat', text: 5 } }, '"text": 5'],
    [{ data: { type: 'chat' } }, '"chat"'],
    [{ data: ['chat'] }, '"chat"'],
    [{ text: 'plain' }, 'plain'],
    [{ binary: 'AAEC' }, 'binary AAEC'],
    [{}, 'binary'],
  ])('%j is shown as it is', (payload, shown) => {
    expect(read(payload)).toMatchObject({ kind: 'odd', shown: expect.stringContaining(shown) })
  })

  test('names stay short, on one line and the right way round', () => {
    expect(cleanName(' A\n\u202Enn\u0000 ')).toBe('A nn')
    expect(cleanName('x'.repeat(100))).toHaveLength(40)
    expect(cleanName({ name: 'Ann' })).toBe('')
  })

  test('long ones are cut', () => {
    expect(read({ data: { type: 'chat', text: 'x'.repeat(9_000) } })).toMatchObject({ text: `${'x'.repeat(4_000)}…` })
  })
})

describe('rows', () => {
  const now = new Date(2026, 10, 20, 12).getTime()
  const entry = (offset: number, more: Partial<Message> = {}): Message => ({
    offset,
    ts: now + offset * 1_000,
    from: 'guest-1',
    data: { type: 'chat', text: 'x', name: 'Ann' },
    ...more,
  })
  const view = (messages: Message[], more: Partial<TimelineView> = {}): TimelineView => ({
    messages,
    drafts: [],
    loaded: true,
    hasOlder: false,
    generation: 0,
    lo: messages[0]?.offset ?? 1,
    head: messages.at(-1)?.offset ?? 0,
    ...more,
  })
  const rows = (given: TimelineView) => rowsOf(given, (e) => e.from === 'me', now)
  const leads = (all: Row[]) => all.flatMap((row) => (row.kind === 'entry' ? [row.leads] : []))

  test('those of one author within five minutes stand together', () => {
    const all = rows(
      view([entry(1), entry(2), entry(3, { from: 'guest-2' }), entry(4, { from: 'guest-2', ts: now + 400_000 })]),
    )
    expect(leads(all)).toEqual([true, false, true, true])
  })

  test('one guest under another name leads', () => {
    const all = rows(view([entry(1), entry(2, { data: { type: 'chat', text: 'x', name: 'Bob' } })]))
    expect(leads(all)).toEqual([true, true])
  })

  test('days are named', () => {
    const all = rows(view([entry(1, { ts: now - 3 * 86_400_000 }), entry(2, { ts: now - 86_400_000 }), entry(3)]))
    const days = all.flatMap((row) => (row.kind === 'day' ? [row.text] : []))
    expect(days.slice(1)).toEqual(['Yesterday', 'Today'])
  })

  test('what was missed is marked once, where it begins', () => {
    const all = rows(view([entry(9), entry(10), entry(11), entry(12)], { missed: { from: 10, count: 700 } }))
    expect(all.map((row) => row.kind)).toEqual(['day', 'entry', 'entry', 'missed', 'entry', 'entry'])
  })

  test('drafts come last and keep their key when they become entries', () => {
    const draft = { id: 'd', key: 'k', data: {}, at: now, state: 'sending' as const }
    expect(rows(view([entry(1)], { drafts: [draft] })).at(-1)?.key).toBe('k')
    expect(rows(view([entry(1), entry(2, { key: 'k', from: 'me' })])).at(-1)).toMatchObject({ key: 'k', mine: true })
  })
})
