// Behind the scenes of one person's line: switches that make it worse, the frames on it, and the code
// that makes a chat of it.

import { Copyable } from '../shell/Copyable'
import type { Seat } from './seat'
import { useStore } from './useStore'

const SLOW = 300

export function Wire({ seat, channel, title }: { seat: Seat; channel: string; title: string }) {
  const { client, faults, frames } = seat
  const { offline, delay } = useStore(faults.state)
  const all = useStore(frames.all)
  const goOffline = (next: boolean) => {
    faults.state.set({ ...faults.state.get(), offline: next })
    if (next) client.drop()
    else client.wake()
  }
  const slow = (next: boolean) => faults.state.set({ ...faults.state.get(), delay: next ? SLOW : 0 })
  return (
    <section className="wire" aria-label={title}>
      <h3>{title}</h3>
      <div className="switches">
        <label>
          <input type="checkbox" checked={offline} onChange={(event) => goOffline(event.target.checked)} />
          Go offline
        </label>
        <label>
          <input type="checkbox" checked={delay > 0} onChange={(event) => slow(event.target.checked)} />+{SLOW} ms
        </label>
        <button type="button" onClick={() => client.drop()}>
          Drop the socket
        </button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard. */}
      <section className="frames" aria-label="Frames on the wire, the newest first" tabIndex={0}>
        {all.toReversed().map((frame) => (
          <p key={frame.number} className={frame.direction}>
            <span aria-hidden="true">{frame.direction === 'in' ? '↓' : '↑'}</span>
            <span className="unseen">{frame.direction === 'in' ? 'received' : 'sent'}</span>
            <span>{hideSecret(frame.text)}</span>
          </p>
        ))}
      </section>
      <h3>How it is made</h3>
      <Copyable label="the code" code={codeFor(channel)} />
    </section>
  )
}

/** The session's secret is nobody's business, also over a shoulder. */
function hideSecret(text: string): string {
  return text.replace(/("session"\s*:\s*")[^"]*/, '$1…')
}

function codeFor(channel: string): string {
  return `import { createClient } from '@trunkline/client'

const client = createClient({ url: '${location.origin}' })
const room = client.channel('${channel}')
const timeline = room.timeline()

timeline.subscribe(() => draw(timeline.get()))
room.subscribe()          // live from now on
timeline.loadOlder()      // the newest page; again: older ones

timeline.post({ type: 'chat', text: 'Hi', name: 'Ann' })`
}
