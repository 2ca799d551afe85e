// `/trunkline.js`: the SDK as one script, of the version of the server that gives it. It defines `Trunkline`.
import { defineConfig } from 'vite'

export default defineConfig({
  publicDir: false,
  build: {
    emptyOutDir: false,
    target: 'es2022',
    lib: {
      entry: new URL('../sdk/typescript/packages/client/src/index.ts', import.meta.url).pathname,
      formats: ['iife'],
      name: 'Trunkline',
      fileName: () => 'trunkline.js',
    },
  },
})
