import { createRouter, createWebHashHistory } from "vue-router";

export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: "/login", component: () => import("./pages/LoginPage.vue") },
    { path: "/", redirect: "/overview" },
    { path: "/overview", component: () => import("./pages/OverviewPage.vue") },
    { path: "/topics", component: () => import("./pages/TopicsPage.vue") },
  ],
});
