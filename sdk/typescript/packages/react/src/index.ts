export * from './hooks.js'
export { TrunklineProvider, useClient } from './provider.js'
