import { VueQueryPlugin } from "@tanstack/vue-query";
import { createPinia } from "pinia";
import { createApp } from "vue";
import App from "./App.vue";
import { i18n, preferred, setLanguage } from "./i18n";
import { router } from "./router";
import "./theme/tokens.css";
import "./theme/base.css";

await setLanguage(preferred());

createApp(App)
  .use(createPinia())
  .use(router)
  .use(i18n)
  .use(VueQueryPlugin, {
    queryClientConfig: { defaultOptions: { queries: { refetchOnWindowFocus: false, retry: 1 } } },
  })
  .mount("#app");
