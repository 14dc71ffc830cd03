import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const here = fileURLToPath(new URL('.', import.meta.url))

/** Builds the dashboard's pages; the server of `stet dashboard` serves them. */
export default defineConfig({
  root: here,
  // Absolute: the pages have paths of several parts, and one file serves them all.
  base: '/',
  plugins: [react()],
  // Workers as files of their own, and nothing inline: the content security policy allows no other.
  worker: { format: 'es' },
  build: {
    outDir: fileURLToPath(new URL('../../dist/web', import.meta.url)),
    emptyOutDir: true,
    // The notices that the licenses of what is bundled ask for.
    license: { fileName: 'licenses.md' },
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    chunkSizeWarningLimit: 900,
  },
  // `npx vite src/web` beside a `stet dashboard`, for whoever works on the pages.
  server: { proxy: { '/api': 'http://127.0.0.1:4400' } },
})
