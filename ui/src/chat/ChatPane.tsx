// One person's side of a room: who they are, their line, the log, and where they write.

import type { Connection, TimelineView } from '@trunkline/client'
import { type ReactNode, useState } from 'react'
import { Line, type LineState } from '../shell/Line'
import { Above } from './Above'
import { Composer } from './Composer'
import { ConnectionBar, statusText } from './LineStatus'
import { MessageLog } from './MessageLog'
import { NameForm } from './NameForm'
import type { Seat } from './seat'
import { useChat } from './useChat'
import { useStore } from './useStore'

export interface ChatPaneProps {
  seat: Seat
  channel: string
  /** Beside the room's name: how to go to another one. */
  children?: ReactNode
}

export function ChatPane({ seat, channel: name, children }: ChatPaneProps) {
  const [person, setPerson] = useState(seat.memory.name)
  const [renaming, setRenaming] = useState(false)
  const chat = useChat(seat, person, name)
  const { channel, view, connection, query } = chat
  const status = useStore(channel.status)
  const denied = status.state === 'denied' ? status.error : undefined

  const rename = (next: string) => {
    seat.memory.name = next
    setPerson(next)
    setRenaming(false)
  }

  return (
    <section className="pane" aria-label={`${name} as ${person || 'a guest'}`}>
      <header className="pane-head">
        <h2 className="data">{name}</h2>
        {children}
        <span className="room-gap" />
        {person !== '' && !renaming && (
          <button
            type="button"
            className="quiet who"
            onClick={() => setRenaming(true)}
            aria-label={`You are ${person}. Change your name`}
          >
            <bdi>{person}</bdi>
          </button>
        )}
        <span className={`status ${lineState(connection)}`} role="status">
          {statusText(connection, status)}
        </span>
      </header>
      <Line state={lineState(connection)} pulses={seat.frames.pulses} />
      <div className="pane-body">
        <ConnectionBar client={seat.client} connection={connection} />
        {denied ? (
          <div className="notice" role="alert">
            <p>
              <strong>This room cannot be read here.</strong> {denied.message} <code>{denied.code}</code>
            </p>
          </div>
        ) : (
          <MessageLog
            label={`Messages in ${name}`}
            rows={chat.rows}
            head={view.head}
            busy={query.isFetching}
            loadOlder={chat.loadOlder}
            forgetOld={chat.forgetOld}
            actions={chat.actions}
            above={
              <Above
                empty={chat.rows.length === 0}
                loaded={view.loaded}
                loading={query.isFetchingNextPage}
                hasOlder={view.hasOlder}
                missed={missedAbove(view)}
                error={query.isError && !query.isFetching ? query.error : null}
                channel={name}
                onAgain={chat.again}
              />
            }
          />
        )}
      </div>
      {person === '' || renaming ? (
        <NameForm name={person} onName={rename} onCancel={renaming ? () => setRenaming(false) : undefined} />
      ) : (
        <Composer channel={name} text={chat.typed.text} onText={chat.typed.set} onSend={chat.send} full={chat.full} />
      )}
    </section>
  )
}

/** How many came unseen and are not loaded yet. */
function missedAbove({ missed, lo }: TimelineView): number {
  return missed && lo > missed.from + 1 ? lo - 1 - missed.from : 0
}

function lineState(connection: Connection): LineState {
  if (connection.state === 'online') return 'steady'
  return connection.state === 'offline' || connection.state === 'closed' || connection.state === 'idle'
    ? 'dotted'
    : 'broken'
}
