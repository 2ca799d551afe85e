import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { alias: { '@trunkline/client': new URL('./packages/client/src/index.ts', import.meta.url).pathname } },
})
