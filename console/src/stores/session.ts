import { defineStore } from "pinia";
import { ref } from "vue";
import { ApiError, ask, get, post } from "@/api/client";
import type { Session } from "@/api/types";

export const useSession = defineStore("session", () => {
  const session = ref<Session | null>(null);
  const asked = ref(false);

  async function load(): Promise<Session | null> {
    if (asked.value) return session.value;
    try {
      session.value = await get<Session>("/api/v1/session");
    } catch (e) {
      if (!(e instanceof ApiError) || e.status !== 401) throw e;
      session.value = null;
    }
    asked.value = true;
    return session.value;
  }

  async function login(user: string, password: string): Promise<void> {
    session.value = await post<Session>("/api/v1/session", { user, password });
    asked.value = true;
  }

  async function loginByLink(key: string): Promise<void> {
    session.value = await post<Session>("/api/v1/session/link", { key });
    asked.value = true;
  }

  async function changePassword(old: string, fresh: string): Promise<void> {
    session.value = await post<Session>("/api/v1/session/password", { old, new: fresh });
  }

  async function logout(): Promise<void> {
    await ask("DELETE", "/api/v1/session").catch(() => null);
    forget();
  }

  function forget(): void {
    session.value = null;
    asked.value = true;
  }

  return { session, load, login, loginByLink, changePassword, logout, forget };
});
