// What stands above the first row, or in its place: loading, the start of the room, an empty room, an error.

import type { TrunklineError } from '@trunkline/client'

export interface AboveProps {
  empty: boolean
  loaded: boolean
  loading: boolean
  hasOlder: boolean
  missed: number
  error: Error | null
  channel: string
  onAgain: () => void
}

export function Above({ empty, loaded, loading, hasOlder, missed, error, channel, onAgain }: AboveProps) {
  if (error) return <Failed error={error} empty={empty} onAgain={onAgain} />
  if (empty && !loaded) return <Skeleton />
  if (loading) return <p className="edge muted">Loading older messages…</p>
  if (hasOlder)
    return <p className="edge muted">{missed > 0 ? `${missed.toLocaleString()} came while you were away` : ' '}</p>
  if (empty) return <Empty channel={channel} />
  return (
    <p className="edge muted">
      The beginning of <span className="data">{channel}</span>
    </p>
  )
}

function Failed({ error, empty, onAgain }: { error: Error; empty: boolean; onAgain: () => void }) {
  const { code } = error as Partial<TrunklineError>
  return (
    <div className={empty ? 'notice' : 'edge'} role="alert">
      <p>
        <strong>{empty ? 'The messages could not be loaded.' : 'Older messages could not be loaded.'}</strong>{' '}
        {code ? error.message : 'The server cannot be reached.'} {code && <code>{code}</code>}
      </p>
      <button type="button" onClick={onAgain}>
        Try again
      </button>
    </div>
  )
}

function Empty({ channel }: { channel: string }) {
  return (
    <div className="notice">
      <p>
        <strong>
          No messages in <span className="data">{channel}</span> yet.
        </strong>{' '}
        What is written here is stored and shown to everyone in the room at once.
      </p>
      <p className="muted">Open this address in a second tab to see both sides.</p>
    </div>
  )
}

const WIDTHS = ['w4', 'w2', 'w3', 'w5', 'w2', 'w4']

function Skeleton() {
  return (
    <div className="skeleton">
      <span className="unseen">Loading messages…</span>
      {WIDTHS.map((width, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they never change.
        <div key={index} className={`ghost ${width}${index % 3 === 2 ? ' mine' : ''}`} />
      ))}
    </div>
  )
}
