// What the line does, in words: a short status that is always there, and a bar once a lost line has been
// lost for five seconds.

import type { ChannelStatus, Client, Connection } from '@trunkline/client'
import { useNow } from './useNow'

const QUIET = 5_000

export function statusText(connection: Connection, channel: ChannelStatus): string {
  switch (connection.state) {
    case 'online':
      if (channel.state === 'denied') return 'Not allowed'
      return channel.state === 'live' ? 'Connected' : 'Catching up…'
    case 'offline':
      return 'Offline'
    case 'closed':
      return 'Disconnected'
    default:
      return connection.everOnline ? 'Reconnecting…' : 'Connecting…'
  }
}

export function ConnectionBar({ client, connection }: { client: Client; connection: Connection }) {
  const { state, since, retryAt } = connection
  const isDown = state === 'connecting' || state === 'waiting' || state === 'offline'
  const now = useNow(250, isDown)
  if (state === 'closed') return <ClosedBar client={client} connection={connection} />
  if (!isDown) return null
  const offline = state === 'offline'
  if (!offline && now - since < QUIET) return null
  const rest = Math.ceil(((retryAt ?? now) - now) / 1_000)
  return (
    <div className="bar">
      <p>
        <strong>{offline ? 'You are offline.' : 'The line is down.'}</strong> What you write is kept and sent when it is
        back.
      </p>
      <span className="numbers muted countdown">{rest > 0 ? `Next try in ${rest} s` : 'Trying…'}</span>
      <button type="button" onClick={() => client.wake()}>
        Retry now
      </button>
    </div>
  )
}

function ClosedBar({ client, connection: { error } }: { client: Client; connection: Connection }) {
  const replaced = error?.code === 'replaced'
  return (
    <div className="bar">
      <p>
        <strong>{replaced ? 'This chat goes on in another tab.' : 'The server has ended the connection.'}</strong>{' '}
        {replaced ? 'Here it can continue as a new guest.' : error?.message} <code>{error?.code}</code>
      </p>
      <button type="button" onClick={() => client.connect({ newSession: true })}>
        {replaced ? 'Continue here' : 'Connect again'}
      </button>
    </div>
  )
}
