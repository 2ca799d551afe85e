// One person at this page: a client of their own, what is kept for them, and their wire. A page may seat
// two, who then meet only on the server.

import { Client } from '../trunkline'
import { Faults } from './faults'
import { Frames } from './frames'
import { Memory } from './memory'

export interface Seat {
  id: string
  client: Client
  memory: Memory
  faults: Faults
  frames: Frames
}

const seats = new Map<string, Seat>()

export function seatOf(id: string): Seat {
  const taken = seats.get(id)
  if (taken) return taken
  const seat = newSeat(id)
  seats.set(id, seat)
  return seat
}

function newSeat(id: string): Seat {
  const memory = new Memory(id)
  const faults = new Faults()
  const frames = new Frames()
  const client = new Client({
    origin: location.origin,
    session: memory.session,
    host: faults.host(),
    onSession: (session) => {
      memory.session = session
    },
    onDrafts: (channel, drafts) => memory.keepDrafts(channel, drafts),
    onFrame: (direction, text) => frames.add(direction, text),
  })
  for (const { channel, drafts } of memory.drafts()) client.channel(channel).restore(drafts)
  return { id, client, memory, faults, frames }
}

/** Keeps the client awake to what the browser knows of the world, and the line up, until called back. */
export function occupy({ client }: Seat): () => void {
  const wake = () => client.wake()
  const seen = () => document.visibilityState === 'visible' && client.wake()
  document.addEventListener('visibilitychange', seen)
  for (const event of ['pageshow', 'online', 'offline']) addEventListener(event, wake)
  client.connect()
  return () => {
    document.removeEventListener('visibilitychange', seen)
    for (const event of ['pageshow', 'online', 'offline']) removeEventListener(event, wake)
    client.disconnect()
  }
}
