import { createRouter, createWebHashHistory, type RouteLocationNormalized, type RouteRecordRaw } from "vue-router";
import { whenLoggedOut } from "@/api/client";
import { useSession } from "@/stores/session";

const page = (path: string, name: string, component: () => Promise<unknown>, section = name): RouteRecordRaw => ({
  path,
  name,
  component,
  meta: { section }, // which entry of the navigation it belongs to
});

export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: "/login", name: "login", component: () => import("./pages/login/LoginPage.vue"), meta: { open: true } },
    { path: "/open/:key", name: "open", component: () => import("./pages/login/LoginPage.vue"), meta: { open: true } },
    { path: "/", redirect: "/overview" },
    page("/overview", "overview", () => import("./pages/overview/OverviewPage.vue")),
    page("/start", "start", () => import("./pages/start/StartPage.vue"), "overview"),
    page("/search", "search", () => import("./pages/search/SearchPage.vue"), ""),

    page("/system/index", "systems", () => import("./pages/systems/SystemsPage.vue")),
    page("/cluster/index", "cluster", () => import("./pages/cluster/ClusterPage.vue")),
    page("/cluster/node/:node", "node", () => import("./pages/cluster/NodePage.vue"), "cluster"),
    page("/pool/index", "pools", () => import("./pages/pools/PoolsPage.vue"), "cluster"),
    page("/client/index", "clients", () => import("./pages/cluster/ClientsPage.vue"), "cluster"),
    page("/storage/index", "storages", () => import("./pages/storages/StoragesPage.vue")),
    page("/queue/index", "queues", () => import("./pages/queues/QueuesPage.vue")),
    page("/queue/:queue/:tab?", "queue", () => import("./pages/queues/QueuePage.vue"), "queues"),
    page("/topic/index", "topics", () => import("./pages/topics/TopicsPage.vue")), // ?queue= or ?system=
    page("/topic/:queue/:topic/:tab?", "topic", () => import("./pages/topic/TopicPage.vue"), "topics"),
    page("/job/index", "jobs", () => import("./pages/jobs/JobsPage.vue")),
    page("/job/:id", "job", () => import("./pages/jobs/JobPage.vue"), "jobs"),
    page("/act/index", "acts", () => import("./pages/acts/ActsPage.vue"), "jobs"),
    page("/act/:id", "act", () => import("./pages/acts/ActPage.vue"), "jobs"),
    page("/alert/index", "alerts", () => import("./pages/alerts/AlertsPage.vue")),

    /* One form for sections of every kind: system, node, storage, pool, queue, topic, alert. */
    page("/add/:kind", "add", () => import("./pages/form/SectionPage.vue"), ""), // ?queue= ?system= fill it in
    page("/edit/:kind/:name(.*)", "edit", () => import("./pages/form/SectionPage.vue"), ""),

    page("/user/index", "users", () => import("./pages/users/UsersPage.vue")),
    page("/token/index", "tokens", () => import("./pages/users/TokensPage.vue")),
    page("/audit/index", "audit", () => import("./pages/audit/AuditPage.vue")),
    page("/config/index/:number?", "config", () => import("./pages/config/ConfigPage.vue")),
    page("/plugin/index", "plugins", () => import("./pages/plugins/PluginsPage.vue")),

    { path: "/topics", redirect: (to) => ({ path: "/topic/index", query: to.query }) },
    { path: "/topic", redirect: (to) => ({ path: "/topic/index", query: to.query }) },
    { path: "/:rest(.*)*", redirect: "/overview" },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
});

/* Where a login leads to: a path of this application, and nothing else. */
export function nextOf(route: RouteLocationNormalized): string {
  const next = route.query.next;
  return typeof next === "string" && /^\/(?![/\\])/.test(next) ? next : "/overview";
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
