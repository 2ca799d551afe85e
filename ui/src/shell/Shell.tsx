// The frame of every page: the rail (a bottom bar on phones) and the place for the page's content.

import { type ReactNode, useEffect } from 'react'
import './shell.css'

const PLACES = [
  { href: '/', label: 'Home', path: 'M4 11.5 12 5l8 6.5V19a1 1 0 0 1-1 1h-4.5v-5h-5v5H5a1 1 0 0 1-1-1z' },
  { href: '/demo/', label: 'Demos', path: 'M5 5h6v6H5zM13 5h6v6h-6zM5 13h6v6H5zM13 13h6v6h-6z' },
]

function isHere(href: string): boolean {
  return href === '/' ? location.pathname === '/' : location.pathname.startsWith('/demo')
}

export function Shell({ title, fixed, children }: { title: string; fixed?: boolean; children: ReactNode }) {
  useEffect(() => {
    document.title = title === 'Trunkline' ? title : `${title} · Trunkline`
  }, [title])
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <nav className="rail" aria-label="Places">
        {PLACES.map(({ href, label, path }) => (
          <a key={href} href={href} aria-current={isHere(href) ? 'page' : undefined}>
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d={path} />
            </svg>
            <span>{label}</span>
          </a>
        ))}
      </nav>
      <main id="content" tabIndex={-1} className={fixed ? 'content fixed' : 'content'}>
        {children}
      </main>
    </div>
  )
}
