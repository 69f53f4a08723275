/* What scenarios use; run.mjs runs them. */
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CONSOLE_APP, "package.json"));

export const url = process.env.CONSOLE_URL;
export const WIDTHS = { wide: 1280, phone: 390 };

const { CONSOLE_USER: user, CONSOLE_PASSWORD: password } = process.env;

/** Logs in, as the admin or as somebody else, and goes to `at`. */
export async function login(page, at = "", who = user) {
  await page.goto(`${url}${at}`);
  await page.fill("#user", who);
  await page.fill("#password", password);
  await page.keyboard.press("Enter");
}

/** Something that a page cannot do: the test's own server does it. Its answer, a text. */
export async function act(page, path) {
  return (await page.request.get(`${process.env.CONSOLE_ADD}${path}`)).text();
}

export function expect(ok, what) {
  if (!ok) throw new Error(what);
}

/** Waits until `fn` says true: 15 s, more on a slow machine. */
export async function until(fn, what, ms = 15000 * Number(process.env.SLOW ?? 1)) {
  const end = Date.now() + ms;
  for (;;) {
    if (await fn()) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

/** What axe finds that is serious or critical, one line each. */
export async function faults(page) {
  const { AxeBuilder } = require("@axe-core/playwright");
  const found = await new AxeBuilder({ page }).analyze();
  return found.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
}
