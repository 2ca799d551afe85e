// From a view of the log to the rows of the page: days, the mark of what was missed, and messages grouped
// by author. Pure; rows of the same entry are the same objects, so that React can leave them alone.

import type { Draft, Message, TimelineView } from '@trunkline/client'
import { dayOf } from './when'

export type Row =
  | { kind: 'day'; key: string; text: string }
  | { kind: 'missed'; key: string; count: number }
  | { kind: 'entry'; key: string; entry: Message; mine: boolean; leads: boolean }
  | { kind: 'draft'; key: string; draft: Draft; leads: boolean }

const TOGETHER = 5 * 60_000

export function rowsOf(view: TimelineView, isMine: (entry: Message) => boolean, now: number): Row[] {
  const rows: Row[] = []
  let before: { author: string; ts: number; day: string } | undefined
  let toMark = view.missed
  for (const entry of view.messages) {
    const day = dayOf(entry.ts, now)
    if (day !== before?.day) {
      rows.push({ kind: 'day', key: `day ${entry.offset}`, text: day })
      before = undefined
    }
    if (toMark && entry.offset > toMark.from) {
      rows.push({ kind: 'missed', key: 'missed', count: toMark.count })
      toMark = undefined
      before = undefined
    }
    const author = authorOf(entry)
    const leads = before?.author !== author || entry.ts - before.ts > TOGETHER
    rows.push({ kind: 'entry', key: entry.key ?? `${entry.offset}`, entry, mine: isMine(entry), leads })
    before = { author, ts: entry.ts, day }
  }
  for (const [index, draft] of view.drafts.entries()) {
    rows.push({ kind: 'draft', key: draft.key ?? draft.id, draft, leads: index === 0 })
  }
  return rows
}

/** Who wrote it: the name given by the server, and the one the author gives. */
function authorOf(entry: Message): string {
  const name = (entry.data as { name?: unknown } | null | undefined)?.name
  return `${entry.from ?? ''} ${typeof name === 'string' ? name : ''}`
}
