// One row of the log: a message, a draft on its way, a day, or the mark of what was missed.

import type { Draft, Message } from '@trunkline/client'
import { memo } from 'react'
import { read } from './payload'
import type { Row } from './rows'
import { clockTime, exactTime } from './when'

export interface RowActions {
  retry: (id: string) => void
  takeBack: (id: string) => void
}

export function MessageRow({ row, actions }: { row: Row; actions: RowActions }) {
  switch (row.kind) {
    case 'day':
      return <p className="divider">{row.text}</p>
    case 'missed':
      return <p className="divider missed">{row.count.toLocaleString()} came while you were away</p>
    case 'entry':
      return <EntryRow entry={row.entry} mine={row.mine} leads={row.leads} />
    case 'draft':
      return <DraftRow draft={row.draft} leads={row.leads} actions={actions} />
  }
}

const EntryRow = memo(function EntryRow({ entry, mine, leads }: { entry: Message; mine: boolean; leads: boolean }) {
  const reading = read(entry)
  const name = reading.kind === 'chat' ? reading.name : ''
  return (
    <article className={className(mine, leads)} data-offset={entry.offset}>
      {leads && (
        <header>
          <bdi className="author">{name || entry.from || 'Someone'}</bdi>
          {name !== '' && entry.from !== undefined && <bdi className="data guest">{entry.from}</bdi>}
        </header>
      )}
      <Bubble reading={reading} ts={entry.ts} offset={entry.offset} />
    </article>
  )
}, sameRow)

/** A page that is read again holds equal entries in new objects. */
function sameRow(one: EntryProps, other: EntryProps): boolean {
  const same =
    one.entry === other.entry || (one.entry.offset === other.entry.offset && sameCopy(one.entry, other.entry))
  return same && one.mine === other.mine && one.leads === other.leads
}

interface EntryProps {
  entry: Message
  mine: boolean
  leads: boolean
}

const sameCopy = (one: Message, other: Message) =>
  one.data === other.data && one.rev === other.rev && one.ts === other.ts

function DraftRow({ draft, leads, actions }: { draft: Draft; leads: boolean; actions: RowActions }) {
  const failed = draft.state === 'failed'
  return (
    <article className={`${className(true, leads)} draft ${draft.state}`} data-draft={draft.id}>
      <Bubble reading={read(draft)} ts={draft.ts ?? draft.at} />
      {draft.state === 'sending' && <p className="fate late">Sending…</p>}
      {draft.state === 'waiting' && <p className="fate late">Waiting to be sent</p>}
      {failed && (
        <p className="fate bad">
          Not sent: {draft.error?.message ?? 'unknown reason'} <code>{draft.error?.code}</code>
          <button type="button" className="quiet" onClick={() => actions.retry(draft.id)}>
            Send again
          </button>
          <button type="button" className="quiet" onClick={() => actions.takeBack(draft.id)}>
            Take back
          </button>
        </p>
      )}
    </article>
  )
}

function Bubble({ reading, ts, offset }: { reading: ReturnType<typeof read>; ts: number; offset?: number }) {
  const place = offset === undefined ? '' : ` · offset ${offset}`
  return (
    <div className="bubble">
      {reading.kind === 'chat' && <p dir="auto">{reading.text}</p>}
      {reading.kind === 'odd' && <pre>{reading.shown}</pre>}
      {reading.kind === 'deleted' && <p className="muted">This message was deleted.</p>}
      <time dateTime={new Date(ts).toISOString()} title={exactTime(ts) + place}>
        {clockTime(ts)}
      </time>
    </div>
  )
}

const className = (mine: boolean, leads: boolean) => `message${mine ? ' mine' : ''}${leads ? ' leads' : ''}`
