/* One way to the broker, typed by its contract: relative addresses (base_path), the session's cookie,
 * errors as ApiError. */
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export class ApiError extends Error {
  readonly status: number; // 0: the broker did not answer
  readonly retryAfter: number; // seconds
  readonly more: unknown; // the whole answer

  constructor(status: number, text: string, retryAfter = 0, more: unknown = undefined) {
    super(text);
    this.more = more;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let ahead = 0; // ms that the clock of the broker is before this machine's

/** What the time is at the broker: a machine with a wrong clock must not hide what can still be undone. */
export function serverNow(): number {
  return Date.now() + ahead;
}

let onLoggedOut: () => void = () => {};

/** Called when the broker says that there is no session any more. */
export function whenLoggedOut(fn: () => void): void {
  onLoggedOut = fn;
}

/** Of a path of the API, under whatever path these pages are. */
export function address(path: string): string {
  return new URL(`.${path}`, document.baseURI).href;
}

export const api = createClient<paths>({
  baseUrl: address("/").replace(/\/$/, ""),
  credentials: "same-origin",
  redirect: "error",
  cache: "no-store",
});

/** What was answered; else an ApiError. `asking`: who asks whether there is a session expects 401. */
export async function answer<T>(
  asked: Promise<{ data?: T; error?: unknown; response: Response }>,
  asking = false,
): Promise<T> {
  const { data, error, response } = await asked.catch(() => {
    throw new ApiError(0, "");
  });
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Math.abs(date - serverNow()) > 2000) ahead = date - Date.now(); // it has whole seconds
  if (response.ok) return data as T;
  if (response.status === 401 && !asking) onLoggedOut();
  const why = (error as { error?: string } | undefined)?.error ?? response.statusText;
  throw new ApiError(response.status, why, Number(response.headers.get("Retry-After") ?? 0), error);
}

type TopicsQuery = Omit<NonNullable<paths["/api/v1/topics"]["get"]["parameters"]["query"]>, "brief">;

/** The list of topics with whole rows: its contract has short ones, too. */
export function listTopics(query: TopicsQuery): Promise<components["schemas"]["Topics"]> {
  return answer(api.GET("/api/v1/topics", { params: { query } })) as Promise<components["schemas"]["Topics"]>;
}
