// How the pages are built: one index.html for every path, hashed assets under /assets/, nothing inlined,
// so that a strict Content-Security-Policy holds. In development, calls go on to a running server.
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const server = process.env.TRUNKLINE_URL ?? 'http://127.0.0.1:8000'

export default defineConfig({
  base: '/',
  // The SDK as it stands beside, not as it was published.
  resolve: {
    alias: { '@trunkline/client': new URL('../sdk/typescript/packages/client/src/index.ts', import.meta.url).pathname },
  },
  plugins: [react()],
  build: { assetsInlineLimit: 0, target: 'es2022' },
  server: {
    proxy: {
      '/api': server,
      '/health': server,
      '^/(ws|echo|room/.*)$': { target: server, ws: true },
    },
  },
})
