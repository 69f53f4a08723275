import { createRouter, createWebHashHistory, type RouteLocationNormalized } from "vue-router";
import { whenLoggedOut } from "@/api/client";
import { useSession } from "@/stores/session";

export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: "/login", name: "login", component: () => import("./pages/LoginPage.vue"), meta: { open: true } },
    { path: "/open/:key", name: "open", component: () => import("./pages/LoginPage.vue"), meta: { open: true } },
    { path: "/", redirect: "/overview" },
    { path: "/overview", name: "overview", component: () => import("./pages/OverviewPage.vue") },
    { path: "/topics", name: "topics", component: () => import("./pages/TopicsPage.vue") },
    { path: "/:rest(.*)*", redirect: "/overview" },
  ],
});

/* Where a login leads to: a path of this application, and nothing else. */
export function nextOf(route: RouteLocationNormalized): string {
  const next = route.query.next;
  return typeof next === "string" && /^\/(?!\/)/.test(next) ? next : "/overview";
}

router.beforeEach(async (to) => {
  if (to.meta.open) return true;
  const session = await useSession()
    .load()
    .catch(() => undefined); // the broker is away: the page says so itself
  if (session === null || session?.must_change) return { name: "login", query: { next: to.fullPath } };
  return true;
});

whenLoggedOut(() => {
  useSession().forget();
  const at = router.currentRoute.value;
  if (!at.meta.open) void router.push({ name: "login", query: { next: at.fullPath } });
});
