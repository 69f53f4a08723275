import { defineStore } from "pinia";
import { ref, watch } from "vue";
import { answer, api, ApiError } from "@/api/client";
import type { Session } from "@/api/types";
import { serverZone } from "@/settings";

export type Right = "operate" | "configure" | "cluster" | "users" | "audit" | "contents" | "entries";

export const useSession = defineStore("session", () => {
  const session = ref<Session | null>(null);
  const asked = ref(false);

  watch(session, (s) => {
    if (s) serverZone.value = s.zone;
  });

  async function load(): Promise<Session | null> {
    if (asked.value) return session.value;
    try {
      session.value = await answer(api.GET("/api/v1/session"), true);
    } catch (e) {
      if (!(e instanceof ApiError) || e.status !== 401) throw e;
      session.value = null;
    }
    asked.value = true;
    return session.value;
  }

  /** Rights may be others now, or the session may have ended. */
  async function refresh(): Promise<void> {
    const fresh = await answer(api.GET("/api/v1/session")).catch(() => null);
    if (fresh) session.value = fresh;
  }

  async function login(user: string, password: string): Promise<void> {
    session.value = await answer(api.POST("/api/v1/session", { body: { user, password } }), true);
    asked.value = true;
  }

  async function loginByLink(key: string): Promise<void> {
    session.value = await answer(api.POST("/api/v1/session/link", { body: { key } }), true);
    asked.value = true;
  }

  async function changePassword(old: string, fresh: string): Promise<void> {
    session.value = await answer(api.POST("/api/v1/session/password", { body: { old, new: fresh } }), true);
  }

  async function logout(): Promise<void> {
    await answer(api.DELETE("/api/v1/session"), true).catch(() => null);
    forget();
  }

  function forget(): void {
    session.value = null;
    asked.value = true;
  }

  /**
   * What the role lets this user do; the table of core/accounts/rights.c, for hiding alone. `system`: of that one;
   * null or "": of what has no system; left out: of any at all.
   */
  function can(right: Right, system?: string | null): boolean {
    const s = session.value;
    if (!s) return false;
    if (right === "cluster" || right === "users" || right === "audit") return s.role === "admin" && s.systems === null;
    if (right === "contents" && !s.contents) return false;
    if (right !== "contents" && s.role === "viewer") return false;
    if (right === "entries" && !s.entries) return false;
    if (s.systems === null) return true;
    return system === undefined ? s.systems.length > 0 : s.systems.includes(system ?? "");
  }

  return { session, load, refresh, can, login, loginByLink, changePassword, logout, forget };
});
