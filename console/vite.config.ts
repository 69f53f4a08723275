import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import i18n from "@intlify/unplugin-vue-i18n/vite";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  // Relative addresses: the same files work under [server] base_path.
  base: "./",
  plugins: [
    vue(),
    // Messages are compiled here: the compiler of the browser needs eval, which the CSP forbids.
    i18n({ include: [here + "src/locales/*.json"], strictMessage: false, runtimeOnly: true }),
  ],
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_DROP_MESSAGE_COMPILER__: true,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  resolve: { alias: { "@": here + "src" } },
  build: {
    outDir: process.env.CONSOLE_OUT ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // data: addresses are for images alone
    modulePreload: { polyfill: false }, // the polyfill is an inline script
  },
});
