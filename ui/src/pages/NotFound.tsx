// For a path that the server gives this page for, but that no page is for.

import { Shell } from '../shell/Shell'
import './pages.css'

export function NotFound() {
  return (
    <Shell title="No such page">
      <div className="page">
        <header>
          <h1>There is no page at this address</h1>
          <p className="muted data">{location.pathname}</p>
          <a className="button primary" href="/demo/">
            See the demos
          </a>
        </header>
      </div>
    </Shell>
  )
}
