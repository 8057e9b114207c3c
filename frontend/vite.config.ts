import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const SWAGGER_FILES = [
  "swagger-ui.css",
  "swagger-ui-bundle.js",
  "swagger-ui-standalone-preset.js",
  "LICENSE",
  "NOTICE",
];

/** Put Swagger UI beside the dashboard, so that /docs works without any other host. */
function swaggerFiles(): Plugin {
  const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  return {
    name: "swagger-files",
    apply: "build",
    generateBundle() {
      for (const file of SWAGGER_FILES) {
        this.emitFile({ type: "asset", fileName: `swagger/${file}`, source: readFileSync(join(folder, file)) });
      }
    },
  };
}

export default defineConfig({
  plugins: [swaggerFiles()],
  build: {
    outDir: "dist",
    // The content security policy allows our own files only: no data: URLs, no inline polyfill.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.txt" },
  },
  // `npm run dev` shows a running Candlecast; the cookie of its login link works on any loopback port.
  server: { proxy: { "/api": "http://127.0.0.1:8000", "/login": "http://127.0.0.1:8000" } },
});
