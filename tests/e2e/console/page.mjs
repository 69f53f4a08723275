/* How long the page of the console is busy at once: 10,000 topics, very many dead jobs in q/t, a job of 30 MB in
 * big/t. Each step says after what time it could be used, and its longest task, of which the trace of the browser
 * tells the time and the CPU time. tests/bench/bars/page.py runs it. */
import { login, until, url } from "./browser.mjs";

const MS = 1e3; // a trace counts in microseconds
const FAILED = "#/topic/q0/t0/failed";
const rows = (page) => page.locator("main tbody tr[data-row]");

/** The tasks of the page's main thread while `what` runs, the longest first; and how long `what` took. */
async function traced(page, what) {
  const cdp = await page.context().newCDPSession(page);
  const events = [];
  cdp.on("Tracing.dataCollected", (e) => events.push(...e.value));
  const over = new Promise((done) => cdp.once("Tracing.tracingComplete", done));
  await cdp.send("Tracing.start", { traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"] } });
  const began = performance.now();
  await what();
  const took = performance.now() - began;
  await page.waitForTimeout(3000); // what comes after it: figures, charts
  await cdp.send("Tracing.end");
  await over;
  await cdp.detach();
  const main = new Set(events.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid} ${e.tid}`));
  const own = events.filter((e) => e.ph === "X" && main.has(`${e.pid} ${e.tid}`));
  const tasks = own.filter((e) => /RunTask$/.test(e.name)).sort((a, b) => (b.tdur ?? b.dur) - (a.tdur ?? a.dur));
  return { took, task: tasks[0], parts: parts(own, tasks[0]) };
}

/** What a task spent its time with: the longest of its parts. */
function parts(own, task) {
  const sums = new Map();
  for (const e of own)
    if (e !== task && e.ts >= task.ts && e.ts + (e.dur ?? 0) <= task.ts + task.dur && !/RunTask$/.test(e.name)) {
      const name = `${e.name}${e.args?.data?.functionName ? ` ${e.args.data.functionName}` : ""}`;
      sums.set(name, (sums.get(name) ?? 0) + e.dur / MS);
    }
  return [...sums].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(", ");
}

async function step(page, name, what) {
  page.setDefaultTimeout(120000); // a look through a million jobs, beside other work
  const { took, task, parts } = await traced(page, what);
  console.log(JSON.stringify({ name, ok: true, usable_ms: Math.round(took), task_ms: Math.round(task.dur / MS), cpu_ms: Math.round((task.tdur ?? task.dur) / MS), parts }));
}

async function go(page, hash) {
  await page.evaluate((to) => (location.hash = to), hash);
}

export async function topics(page) {
  await step(page, "first load", async () => {
    await login(page);
    await page.locator("main h1").waitFor();
  });
  await step(page, "overview again", async () => {
    await go(page, "#/overview");
    await page.locator("main h1").waitFor();
  });
  await step(page, "topics", async () => {
    await go(page, "#/topic/index");
    await rows(page).first().waitFor();
  });
  await step(page, "topics: scrolled", async () => {
    for (let i = 0; i < 10; i++) await page.mouse.wheel(0, 400);
    await page.locator("main .box").evaluate((box) => (box.scrollTop = box.scrollHeight));
  });
  await step(page, "topics: sorted by ready", async () => {
    await page.locator("main th button", { hasText: "Ready" }).first().click();
    await page.locator('th[aria-sort="descending"]').waitFor();
    await page.locator("main tbody tr[data-row='q0/t0'], main tbody tr[data-row]").first().waitFor();
  });
  await step(page, "topics: filtered", async () => {
    await page.locator("main input[type=search]").first().fill("q77/");
    await until(async () => (await rows(page).count()) === 10, "ten topics have that name");
  });
  await step(page, "topics: last page", async () => {
    await go(page, "#/topic/index?page=200");
    await until(async () => /q999/.test(await rows(page).last().innerText()), "the last topics are there");
  });
  await step(page, "queues", async () => {
    await go(page, "#/queue/index");
    await rows(page).first().waitFor();
  });
}

export async function failed(page) {
  await login(page, "#/topic/index");
  await rows(page).first().waitFor();
  await step(page, "dead jobs: list", async () => {
    await go(page, FAILED);
    await page.locator(".jobs .pick").first().waitFor();
  });
  await step(page, "dead jobs: all groups", async () => {
    await page.getByRole("button", { name: "Read again" }).click();
    await page.getByRole("button", { name: /^Replay all/ }).waitFor();
  });
  await step(page, "dead jobs: filter of few", async () => {
    await go(page, `${FAILED}?match=needle`);
    await page.getByRole("button", { name: "Replay the 1 that match…" }).waitFor();
  });
  await step(page, "dead jobs: one open", async () => {
    await page.locator(".jobs .pick").first().click();
    await page.locator(".jobs .opened pre").first().waitFor();
  });
  await step(page, "dead jobs: as many errors as jobs", async () => {
    await go(page, "#/topic/q1/t1/failed");
    await page.getByRole("button", { name: /^Replay all/ }).waitFor();
  });
  await step(page, "jobs of a topic", async () => {
    await go(page, "#/topic/q0/t0/jobs?state=dead");
    await page.locator("main table tbody tr").first().waitFor();
  });
}

export async function large(page) {
  await login(page, "#/topic/q2/t2/failed");
  await page.locator(".jobs .pick").first().waitFor();
  await step(page, "a job of 30 MB", async () => {
    await page.locator(".jobs .pick").first().click();
    await page.locator(".jobs .opened pre").nth(1).waitFor();
  });
  await step(page, "a job of 30 MB: its page", async () => {
    await page.locator(".opened").getByRole("link", { name: /page/ }).click();
    await page.waitForURL(/#\/job\//);
    await page.locator("main pre").first().waitFor();
  });
}
