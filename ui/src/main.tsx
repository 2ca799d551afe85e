// The entry: which page a path shows. There is no router; every link is a real navigation.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import './tokens.css'
import './base.css'
import { ChatPage } from './chat/ChatPage'
import { Demos } from './pages/Demos'
import { Home } from './pages/Home'
import { NotFound } from './pages/NotFound'

// The line keeps the data fresh; queries are for what the line does not carry.
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Number.POSITIVE_INFINITY,
      refetchOnReconnect: false,
      refetchOnWindowFocus: false,
      networkMode: 'always',
      retry: 2,
    },
  },
})

function pageAt(path: string) {
  switch (path.replace(/\/+$/, '')) {
    case '':
      return <Home />
    case '/demo':
      return <Demos />
    case '/demo/chat':
      return <ChatPage />
    default:
      return <NotFound />
  }
}

const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>{pageAt(location.pathname)}</QueryClientProvider>
    </StrictMode>,
  )
}
