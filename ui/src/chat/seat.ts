// One person at this page: a client of their own, what is kept for them, and their wire. A page may seat
// two, who then meet only on the server.

import { type Channel, type Client, createClient, type Draft } from '@trunkline/client'
import { Faults } from './faults'
import { Frames } from './frames'
import { Memory } from './memory'

export class Seat {
  readonly id: string
  readonly client: Client
  readonly memory: Memory
  readonly faults = new Faults()
  readonly frames = new Frames()
  #rooms = new Map<string, Channel>()

  constructor(id: string) {
    this.id = id
    this.memory = new Memory(id)
    this.client = createClient({
      url: location.origin,
      session: this.memory.session,
      host: this.faults.host(),
      onSession: (session) => {
        this.memory.session = session
      },
      logger: (event) => {
        if (event.type !== 'connection') this.frames.add(event.type, JSON.stringify(event.frame))
      },
    })
    for (const { channel, drafts } of this.memory.drafts()) this.room(channel).timeline().restore(drafts)
  }

  /** A room, whose unsent messages are kept. */
  room(name: string): Channel {
    const known = this.#rooms.get(name)
    if (known) return known
    const room = this.client.channel(name)
    this.#rooms.set(name, room)
    const timeline = room.timeline()
    let kept: readonly Draft[] = []
    timeline.subscribe(() => {
      const { drafts } = timeline.get()
      if (drafts.length > 0 || kept.length > 0) this.memory.keepDrafts(name, drafts)
      kept = drafts
    })
    return room
  }
}

const seats = new Map<string, Seat>()

export function seatOf(id: string): Seat {
  const seat = seats.get(id) ?? new Seat(id)
  seats.set(id, seat)
  return seat
}

/** Keeps the line up until called back. */
export function occupy({ client }: Seat): () => void {
  client.connect()
  return () => client.disconnect()
}
