/* One way to the broker: relative addresses (base_path), the session's cookie, errors as ApiError. */

export class ApiError extends Error {
  readonly status: number;
  readonly retryAfter: number;

  constructor(status: number, text: string, retryAfter = 0) {
    super(text);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let onLoggedOut: () => void = () => {};

/** Called when the broker says that there is no session any more. */
export function whenLoggedOut(fn: () => void): void {
  onLoggedOut = fn;
}

export function address(path: string): string {
  return new URL(`.${path}`, document.baseURI).pathname;
}

export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(address(path), {
      method,
      credentials: "same-origin",
      redirect: "error",
      cache: "no-store",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "");
  }
  const text = await answer.text();
  let value: unknown = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(answer.status, text.slice(0, 200));
  }
  if (!answer.ok) {
    const why = (value as { error?: string } | null)?.error ?? answer.statusText;
    if (answer.status === 401 && path !== "/api/v1/session") onLoggedOut();
    throw new ApiError(answer.status, why, Number(answer.headers.get("Retry-After") ?? 0));
  }
  return value as T;
}

export const get = <T>(path: string) => ask<T>("GET", path);
export const post = <T>(path: string, body: unknown = {}) => ask<T>("POST", path, body);
