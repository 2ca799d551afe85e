// What the server is, what it answers on this port, and how to try it. The console will take this place.

import { Copyable } from '../shell/Copyable'
import { Shell } from '../shell/Shell'
import './pages.css'

const http = location.origin
const ws = http.replace(/^http/, 'ws')

const ENDPOINTS = [
  { name: 'WebSocket', says: 'channels with history, subprotocol trunkline.v1', code: `${ws}/ws` },
  { name: 'Echo', says: 'every frame comes back as it was', code: `${ws}/echo` },
  { name: 'Room', says: 'every frame goes to everyone in the room, the sender too', code: `${ws}/room/lobby` },
  {
    name: 'History',
    says: 'pages of a channel, as JSON',
    code: `${http}/api/v1/channels/chat:lobby/messages?limit=20`,
  },
  { name: 'Health', says: 'ready to take traffic; /health/live says that it runs', code: `${http}/health/ready` },
]

const CONSOLE = `const line = new WebSocket('${ws}/ws', 'trunkline.v1')
line.onmessage = (event) => console.log(event.data)
line.onopen = () => {
  line.send('{"type":"subscribe","channel":"chat:lobby","last":20}')
  line.send('{"type":"publish","channel":"chat:lobby","data":{"type":"chat","text":"Hi","name":"Console"}}')
}`

export function Home() {
  return (
    <Shell title="Trunkline">
      <div className="page">
        <header>
          <h1 className="name">Trunkline</h1>
          <p className="muted">
            A real-time server in one binary: every client has its own line, messages are pushed the instant they are
            stored, and whoever lost the line comes back and misses nothing.
          </p>
          <a className="button primary" href="/demo/chat">
            Open the chat demo
          </a>
        </header>
        <section aria-labelledby="endpoints">
          <h2 id="endpoints">On this port</h2>
          <dl className="endpoints">
            {ENDPOINTS.map(({ name, says, code }) => (
              <div key={name}>
                <dt>
                  {name} <span className="muted small">{says}</span>
                </dt>
                <dd>
                  <Copyable code={code} label={name} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
        <section aria-labelledby="console">
          <h2 id="console">Try it in the browser's console</h2>
          <p className="muted">
            Keep the chat demo open beside it: the greeting appears there as soon as it is stored.
          </p>
          <Copyable code={CONSOLE} label="the console snippet" />
        </section>
      </div>
    </Shell>
  )
}
