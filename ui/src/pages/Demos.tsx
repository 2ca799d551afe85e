// The demos that exist.

import { Shell } from '../shell/Shell'
import './pages.css'

const DEMOS = [
  {
    href: '/demo/chat',
    name: 'Chat',
    says: 'Rooms with stored history. Cut the line, stop the server, come back: nothing is missing and nothing is there twice.',
  },
]

export function Demos() {
  return (
    <Shell title="Demos">
      <div className="page">
        <header>
          <h1>Demos</h1>
          <p className="muted">Pages that use this server the way an application would.</p>
        </header>
        <ul className="demos">
          {DEMOS.map(({ href, name, says }) => (
            <li key={href}>
              <a href={href}>
                <strong>{name}</strong>
                <span className="muted">{says}</span>
              </a>
            </li>
          ))}
        </ul>
      </div>
    </Shell>
  )
}
