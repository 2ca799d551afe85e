// The rules of a log, one by one. The simulation asks whether they hold together.

import { describe, expect, test } from 'vitest'
import { LIMITS } from '../src/limits.js'
import { fold, Log } from '../src/log.js'
import { Outbox } from '../src/outbox.js'
import type { Draft, Message, Page, Receipt } from '../src/types.js'

/** A log, and the drafts that belong to it. */
class Timeline extends Log {
  readonly outbox: Outbox

  constructor() {
    const outbox = new Outbox()
    super(outbox)
    this.outbox = outbox
  }

  get drafts(): readonly Draft[] {
    return this.outbox.drafts()
  }

  add(draft: Draft, restored = false): void {
    this.outbox.add({ draft, body: {}, shown: true, ours: true, restored })
  }

  acknowledged(id: string, at: Partial<Receipt>): void {
    this.outbox.acknowledged(id, { ts: 0, key: id, ...at }, this.head)
  }
}

const entry = (offset: number, more: Partial<Message> = {}): Message => ({
  offset,
  ts: offset,
  data: `m${offset}`,
  ...more,
})

/** The page that covers `lo..=hi` of a log that ends at `top`. */
function page(lo: number, hi: number, top = hi, more: Partial<Page> = {}): Page {
  const items = Array.from({ length: Math.max(0, hi - lo + 1) }, (_, i) => entry(lo + i))
  return { epoch: 'e1', top, lo, hi, items, floor: 1, more: lo > 1, ...more }
}

/** A timeline that is live at `place` and holds the page above `lo`. */
function liveAt(place: number, lo = 1): Timeline {
  const timeline = new Timeline()
  timeline.subscribed({ offset: place, epoch: 'e1' })
  if (place >= lo) timeline.page(page(lo, place), {}, timeline.generation)
  return timeline
}

const offsets = (timeline: Timeline) => timeline.view().messages.map((e) => e.offset)
const range = (lo: number, hi: number) => Array.from({ length: hi - lo + 1 }, (_, i) => lo + i)
const draft = (id: string, more: Partial<Draft> = {}): Draft => ({
  id,
  data: id,
  at: 0,
  state: 'waiting',
  key: `k-${id}`,
  ...more,
})

describe('the live edge', () => {
  test('head + 1 is appended, what is known already is ignored', () => {
    const timeline = liveAt(3)
    for (const offset of [4, 4, 2, 5]) timeline.message(entry(offset))
    expect(offsets(timeline)).toEqual([1, 2, 3, 4, 5])
  })

  test('what lies beyond a gap waits, and the gap is asked for', () => {
    const timeline = liveAt(3)
    timeline.message(entry(6))
    expect(offsets(timeline)).toEqual([1, 2, 3])
    expect(timeline.wants).toEqual({ after: 3 })
    timeline.page(page(4, 5, 6), { after: 3 }, timeline.generation)
    expect(offsets(timeline)).toEqual(range(1, 6))
    expect(timeline.wants).toBeUndefined()
  })

  test('what waits beyond a gap is capped and fetched instead', () => {
    const timeline = liveAt(0)
    for (let offset = 2; offset <= LIMITS.ahead + 10; offset += 1) timeline.message(entry(offset))
    expect(timeline.wants).toEqual({ after: 0 })
    timeline.page(page(1, 50, LIMITS.ahead + 10), { after: 0 }, timeline.generation)
    expect(timeline.wants).toEqual({ after: 50 })
  })

  test('a reference changes the message that it is about, once', () => {
    const timeline = liveAt(2)
    const reference = (offset: number, more: Partial<Message>) => timeline.message(entry(offset, { ref: 1, ...more }))
    reference(3, { op: 'edit', data: 'new' })
    reference(4, { op: 'react', data: '+1' })
    reference(5, { op: 'react', data: '+1' })
    reference(6, { op: 'unreact', data: '+1' })
    expect(offsets(timeline)).toEqual([1, 2])
    expect(timeline.head).toBe(6)
    const [message] = timeline.view().messages as [Message]
    expect(message).toMatchObject({ data: 'new', rev: 6, reactions: { '+1': 1 } })
    expect(fold(message, entry(6, { ref: 1, op: 'unreact', data: '+1' }))).toBe(message)
    reference(7, { op: 'delete', data: undefined })
    expect(timeline.view().messages[0]).toMatchObject({ data: undefined, deleted: true, reactions: undefined })
  })

  test('of two copies the one with more in it stays, and newer references are applied to it', () => {
    const timeline = liveAt(3)
    timeline.message(entry(4, { ref: 2, op: 'edit', data: 'newest' }))
    timeline.page(page(1, 3, 3, { items: [entry(1), entry(2, { data: 'older' }), entry(3)] }), { before: 4 }, 0)
    expect(timeline.view().messages[1]?.data).toBe('newest')
    timeline.page(page(1, 4, 5, { items: [entry(1), entry(2, { data: 'newer still', rev: 5 }), entry(3)] }), {}, 0)
    expect(timeline.view().messages[1]?.data).toBe('newer still')
    timeline.page(page(1, 3, 3, { items: [entry(1), entry(2, { data: 'older' }), entry(3)] }), { before: 4 }, 0)
    expect(timeline.view().messages[1]?.data).toBe('newer still')
  })

  test('what a page fills a gap with may have changed what lies below, which is fetched again', () => {
    const timeline = liveAt(3)
    timeline.message(entry(6))
    timeline.page(page(4, 5, 6, { items: [entry(4)] }), { after: 3 }, timeline.generation)
    expect(timeline.wants).toEqual({ before: 4 })
    timeline.message(entry(7, { ref: 1, op: 'react', data: '+1' }))
    const items = [entry(1, { data: 'edited', rev: 5 }), entry(2), entry(3)]
    timeline.page(page(1, 3, 6, { items, more: false }), { before: 4 }, timeline.generation)
    expect(timeline.wants).toBeUndefined()
    expect(timeline.view().messages[0]).toMatchObject({ data: 'edited', reactions: { '+1': 1 }, rev: 7 })
  })

  test('entries without an offset are not of a log', () => {
    const timeline = liveAt(1)
    timeline.message({ ...entry(1), offset: 0 })
    expect(offsets(timeline)).toEqual([1])
  })
})

describe('pages', () => {
  test('an empty room is loaded and has nothing older', () => {
    const timeline = liveAt(0)
    timeline.page(page(1, 0), {}, 0)
    expect(timeline.view()).toMatchObject({ loaded: true, hasOlder: false, messages: [] })
  })

  test('the first page may come before or after the subscription stands', () => {
    const late = new Timeline()
    late.subscribed({ offset: 60, epoch: 'e1' })
    late.message(entry(61))
    late.page(page(12, 61), {}, 0)
    expect(offsets(late)).toEqual(range(12, 61))

    const early = new Timeline()
    early.page(page(8, 57), {}, 0)
    early.subscribed({ offset: 60, epoch: 'e1' })
    expect(early.wants).toEqual({ after: 57 })
    early.page(page(58, 60), { after: 57 }, 0)
    expect(offsets(early)).toEqual(range(8, 60))
  })

  test('a first page that ends below the subscription is not drawn over a hole', () => {
    const timeline = new Timeline()
    timeline.subscribed({ offset: 60, epoch: 'e1' })
    expect(timeline.page(page(8, 57), {}, 0)).toBe(false)
    expect(offsets(timeline)).toEqual([])
  })

  test('older pages join below and end at the start', () => {
    const timeline = liveAt(100, 51)
    expect(timeline.hasOlder).toBe(true)
    expect(timeline.page(page(1, 50, 100), { before: 51 }, 0)).toBe(true)
    expect(offsets(timeline)).toEqual(range(1, 100))
    expect(timeline.hasOlder).toBe(false)
  })

  test('an older page that does not touch the range is ignored', () => {
    const timeline = liveAt(100, 51)
    expect(timeline.page(page(1, 40, 100), { before: 41 }, 0)).toBe(false)
    expect(offsets(timeline)).toEqual(range(51, 100))
  })

  test('a page whose entries are hidden still covers its range', () => {
    const timeline = liveAt(100, 51)
    timeline.page(page(31, 50, 100, { items: [entry(40)] }), { before: 51 }, 0)
    timeline.page(page(11, 30, 100), { before: 31 }, 0)
    expect(offsets(timeline)).toEqual([...range(11, 30), 40, ...range(51, 100)])
  })

  test('the floor is the start', () => {
    const timeline = liveAt(100, 51)
    timeline.page(page(41, 50, 100, { floor: 41 }), { before: 51 }, 0)
    expect(timeline.hasOlder).toBe(false)
  })

  test('a page asked for before a rewind is ignored', () => {
    const timeline = liveAt(10)
    const before = timeline.generation
    timeline.subscribed({ recovered: false, reason: 'rewound', keep: 8, offset: 8, epoch: 'e1' })
    expect(timeline.page(page(9, 10), { after: 8 }, before)).toBe(false)
  })

  test('old rows are forgotten and can be loaded again', () => {
    const timeline = liveAt(100)
    timeline.trim(20)
    expect(offsets(timeline)).toEqual(range(81, 100))
    expect(timeline.hasOlder).toBe(true)
    timeline.page(page(31, 80, 100), { before: 81 }, 0)
    expect(offsets(timeline)).toEqual(range(31, 100))
  })
})

describe('coming back', () => {
  const since = { epoch: 'e1', offset: 10 }

  test('a replay is awaited, not fetched', () => {
    const timeline = liveAt(10)
    expect(timeline.position).toEqual(since)
    timeline.subscribed({ recovered: true, offset: 12, epoch: 'e1' }, since)
    expect(timeline.caughtUp).toBe(false)
    expect(timeline.wants).toBeUndefined()
    timeline.message(entry(11))
    timeline.message(entry(12))
    expect(timeline.caughtUp).toBe(true)
    expect(offsets(timeline)).toEqual(range(1, 12))
  })

  test('the epoch of the head follows the entries', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: true, offset: 12, epoch: 'e2' }, since)
    timeline.message(entry(11))
    expect(timeline.position).toEqual({ epoch: 'e1', offset: 11 })
    timeline.message(entry(12, { epoch: 'e2' }))
    timeline.message(entry(13))
    expect(timeline.position).toEqual({ epoch: 'e2', offset: 13 })
  })

  test('limit, near: the gap is filled', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: false, reason: 'limit', offset: 300, epoch: 'e1' }, since)
    expect(timeline.wants).toEqual({})
    timeline.page(page(251, 300), {}, timeline.generation)
    expect(offsets(timeline)).toEqual(range(1, 10))
    while (timeline.wants) {
      const after = timeline.wants.after as number
      timeline.page(page(after + 1, Math.min(after + 50, 300), 300), { after }, timeline.generation)
    }
    expect(offsets(timeline)).toEqual(range(1, 300))
    expect(timeline.view().missed).toBeUndefined()
  })

  test('limit, far: a jump that says how much is missed; rows above come only from new pages', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: false, reason: 'limit', offset: 2_000, epoch: 'e1' }, since)
    timeline.message(entry(2_001))
    timeline.page(page(1_951, 2_000), {}, timeline.generation)
    expect(timeline.view().missed).toEqual({ from: 10, count: 1_940 })
    expect(offsets(timeline)).toEqual(range(1_951, 2_001))
    expect(timeline.hasOlder).toBe(true)
  })

  test('limit, and the newest page joins', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: false, reason: 'limit', offset: 40, epoch: 'e1' }, since)
    timeline.page(page(1, 40), {}, timeline.generation)
    expect(offsets(timeline)).toEqual(range(1, 40))
  })

  test('trimmed: what is gone is not filled, however near', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: false, reason: 'trimmed', offset: 100, floor: 80, epoch: 'e1' }, since)
    timeline.page(page(80, 100, 100, { floor: 80, more: false }), {}, timeline.generation)
    expect(offsets(timeline)).toEqual(range(80, 100))
    expect(timeline.view()).toMatchObject({ missed: { from: 10, count: 69 }, hasOlder: false })
  })

  test('trimmed while a gap is being filled: the newest page instead', () => {
    const timeline = liveAt(10)
    timeline.message(entry(60))
    timeline.page(page(40, 60, 60, { floor: 40 }), { after: 10 }, timeline.generation)
    expect(timeline.wants).toEqual({})
    timeline.page(page(40, 60, 60, { floor: 40, more: false }), {}, timeline.generation)
    expect(offsets(timeline)).toEqual(range(40, 60))
  })

  test('rewound: what is above `keep` is dropped and fetched from there', () => {
    const timeline = liveAt(10)
    timeline.subscribed({ recovered: false, reason: 'rewound', keep: 8, offset: 9, epoch: 'e2' }, since)
    expect(offsets(timeline)).toEqual(range(1, 8))
    expect(timeline.wants).toEqual({ after: 8 })
    timeline.page({ ...page(9, 9), epoch: 'e2', items: [entry(9, { epoch: 'e2' })] }, { after: 8 }, timeline.generation)
    expect(timeline.position).toEqual({ epoch: 'e2', offset: 9 })
  })

  test('rewound, and nobody knows to where: everything is read again', () => {
    const timeline = liveAt(10)
    const before = timeline.generation
    timeline.subscribed({ recovered: false, reason: 'rewound', offset: 9, epoch: 'e2' }, since)
    expect(timeline.generation).toBeGreaterThan(before)
    expect(offsets(timeline)).toEqual([])
    expect(timeline.position).toEqual({ epoch: 'e2', offset: 9 })
  })

  test('rewound: own acknowledged messages are sent again under their keys, others not', () => {
    const timeline = liveAt(8)
    for (const [id, offset] of [
      ['a', 9],
      ['b', 10],
    ] as const) {
      timeline.add(draft(id, { key: `k-${id}` }))
      timeline.acknowledged(id, { offset, epoch: 'e1' })
      timeline.message(entry(offset, { key: `k-${id}` }))
    }
    timeline.add(draft('c'))
    timeline.subscribed({ recovered: false, reason: 'rewound', keep: 9, offset: 9, epoch: 'e1' }, since)
    expect(timeline.drafts.map((d) => [d.id, d.key, d.state])).toEqual([
      ['b', 'k-b', 'waiting'],
      ['c', 'k-c', 'waiting'],
    ])
  })

  test('a push that differs from what is held at its offset means another log', () => {
    const timeline = liveAt(10)
    timeline.message(entry(10, { epoch: 'e2' }))
    expect(timeline.forked).toBe(true)
    timeline.restart()
    expect(timeline.view()).toMatchObject({ messages: [], loaded: false })
    expect(timeline.position).toBeUndefined()
  })

  test('a first page of another log than the subscription is not kept', () => {
    const timeline = new Timeline()
    timeline.page(page(1, 10), {}, 0)
    timeline.subscribed({ offset: 10, epoch: 'e2' })
    expect(timeline.forked).toBe(true)
  })

  test('a page that continues another log is not taken', () => {
    const timeline = liveAt(10)
    timeline.message(entry(13))
    expect(timeline.page({ ...page(11, 12), epoch: 'e2' }, { after: 10 }, timeline.generation)).toBe(false)
    expect(offsets(timeline)).toEqual(range(1, 10))
    expect(timeline.forked).toBe(true)
  })
})

describe('drafts', () => {
  test('the broadcast ends a draft by its key, never by its text', () => {
    const timeline = liveAt(0)
    timeline.add(draft('a', { key: 'ka', data: 'same' }))
    timeline.message(entry(1, { data: 'same', key: 'other' }))
    expect(timeline.drafts).toHaveLength(1)
    timeline.message(entry(2, { data: 'same', key: 'ka' }))
    expect(timeline.drafts).toHaveLength(0)
  })

  test('after the reply alone it stays visible as sent, until the log has it', () => {
    const timeline = liveAt(0)
    timeline.add(draft('a', { key: 'ka' }))
    timeline.acknowledged('a', { offset: 2, ts: 5 })
    expect(timeline.drafts[0]).toMatchObject({ state: 'sent', offset: 2, ts: 5 })
    timeline.message(entry(1))
    timeline.message(entry(2, { key: 'ka' }))
    expect(timeline.drafts).toHaveLength(0)
    expect(offsets(timeline)).toEqual([1, 2])
  })

  test('a page ends it too', () => {
    const timeline = liveAt(0)
    timeline.add(draft('a', { key: 'ka', state: 'sending' }))
    timeline.page({ ...page(1, 1), items: [entry(1, { key: 'ka' })] }, { after: 0 }, 0)
    expect(timeline.drafts).toHaveLength(0)
  })

  test('acknowledged at a place where another entry stands now: sent again', () => {
    const timeline = liveAt(1)
    timeline.add(draft('a', { key: 'ka' }))
    timeline.acknowledged('a', { offset: 3, epoch: 'e1' })
    timeline.subscribed({ recovered: true, offset: 3, epoch: 'e2' }, { epoch: 'e1', offset: 1 })
    timeline.message(entry(2, { epoch: 'e2' }))
    timeline.message(entry(3))
    expect(timeline.drafts[0]).toMatchObject({ state: 'waiting', key: 'ka' })
  })

  test('the unanswered wait again after a lost line, in their order', () => {
    const timeline = liveAt(0)
    for (const id of ['a', 'b', 'c']) timeline.add(draft(id))
    for (const id of ['a', 'b']) timeline.outbox.change(id, { state: 'sending' })
    timeline.outbox.lost()
    expect(timeline.outbox.next(true, 2).map(({ draft }) => [draft.id, draft.key])).toEqual([
      ['a', 'k-a'],
      ['b', 'k-b'],
    ])
  })

  test('a restored one that may be stored already waits for the newest page', () => {
    const timeline = new Timeline()
    timeline.add(draft('a', { key: 'ka' }), true)
    timeline.subscribed({ offset: 1, epoch: 'e1' })
    expect(timeline.outbox.next(timeline.loaded, 8)).toEqual([])
    timeline.page({ ...page(1, 1), items: [entry(1, { key: 'ka' })] }, {}, 0)
    expect(timeline.drafts).toEqual([])
  })
})
