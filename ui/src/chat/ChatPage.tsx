// The chat demo: one room, one person or two beside each other, and a look behind the scenes.

import { useEffect, useState } from 'react'
import { Shell } from '../shell/Shell'
import { ChatPane } from './ChatPane'
import { RoomForm } from './RoomForm'
import { addressOf, type Room, roomInAddress, roomOf } from './room'
import { occupy, seatOf } from './seat'
import { Wire } from './Wire'
import './chat.css'

export function ChatPage() {
  const [room, setRoom] = useRoom()
  const [choosing, setChoosing] = useState(false)
  const [beside, setBeside] = useState(false)
  const [behind, setBehind] = useState(false)
  useEscape(() => setBehind(false))
  useEffect(() => occupy(seatOf('a')), [])
  useEffect(() => (beside ? occupy(seatOf('b')) : undefined), [beside])

  const go = (name: string) => {
    setRoom(name)
    setChoosing(false)
  }
  const seats = beside ? [seatOf('a'), seatOf('b')] : [seatOf('a')]
  return (
    <Shell title="Chat" fixed>
      <div className="chat">
        <header className="chat-head">
          <div>
            <h1>Chat</h1>
            <p className="muted">What is written is stored, and everyone in the room has it at once.</p>
          </div>
          {room.problem === undefined && (
            <>
              <button type="button" className="wide-only" aria-pressed={beside} onClick={() => setBeside(!beside)}>
                {beside ? 'Remove the second person' : 'Add a second person'}
              </button>
              <button type="button" aria-expanded={behind} onClick={() => setBehind(!behind)}>
                Behind the scenes
              </button>
            </>
          )}
        </header>
        {(choosing || room.problem !== undefined) && (
          <RoomForm
            room={room.name}
            onRoom={go}
            onCancel={room.problem === undefined ? () => setChoosing(false) : undefined}
          />
        )}
        {room.problem === undefined && (
          <div className="panes">
            {seats.map((seat) => (
              <ChatPane key={`${seat.id} ${room.channel}`} seat={seat} channel={room.channel}>
                {!choosing && (
                  <button type="button" className="quiet" aria-label="Change room" onClick={() => setChoosing(true)}>
                    Change
                  </button>
                )}
              </ChatPane>
            ))}
            {behind && (
              <aside className="drawer" aria-label="Behind the scenes">
                <button type="button" className="drawer-close" onClick={() => setBehind(false)}>
                  Close
                </button>
                {seats.map((seat, index) => (
                  <Wire
                    key={seat.id}
                    seat={seat}
                    channel={room.channel}
                    title={beside ? `The wire of person ${index + 1}` : 'The wire'}
                  />
                ))}
              </aside>
            )}
          </div>
        )}
      </div>
    </Shell>
  )
}

/** The room of the address; going to another one is a step that the back button undoes. */
function useRoom(): [Room, (name: string) => void] {
  const [room, setRoom] = useState(roomInAddress)
  useEffect(() => {
    const follow = () => setRoom(roomInAddress())
    addEventListener('popstate', follow)
    return () => removeEventListener('popstate', follow)
  }, [])
  const go = (name: string) => {
    if (name === room.name) return
    window.history.pushState(null, '', addressOf(name))
    setRoom(roomOf(name))
  }
  return [room, go]
}

function useEscape(onEscape: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => event.key === 'Escape' && onEscape()
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  })
}
