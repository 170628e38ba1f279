import { defineConfig } from "vite";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    // The page is served by one process on this machine: one chunk, no preload shim.
    modulePreload: false,
    assetsInlineLimit: 0,
  },
});
