/* Pages of people (the tests depend on no order): who may what, users, tokens, audit, configuration, alerts, search, keys. */
import { act, expect, login, until, url } from "./browser.mjs";

const { CONSOLE_PASSWORD: password } = process.env;
const text = (page) => page.innerText("main");
const links = (page) => page.locator("nav#pages a").allInnerTexts();
const says = (page, what, why) => until(async () => what.test(await page.innerText("body")), why ?? `the page says ${what}`);

export async function a_password_of_the_first_login_has_to_be_changed(page) {
  await login(page, "#/alert/index", "novice");
  await page.locator("#new").waitFor();
  await page.goto(`${url}#/topic/index`);
  await page.locator("#new").waitFor();
  const fresh = "another long password";
  await page.fill("#new", fresh);
  await page.fill("#again", "something else here");
  await page.keyboard.press("Enter");
  await says(page, /differ/);
  await page.fill("#again", fresh);
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/topic\/index/);
}

export async function a_viewer_of_one_system_is_offered_nothing_that_is_refused(page) {
  await login(page, "#/alert/index", "watcher");
  await says(page, /waits/);
  const seen = (await links(page)).join(" ");
  expect(!/Users|Audit|Configuration/.test(seen), `no page of admins: ${seen}`);
  expect(/Tokens|API tokens/i.test(seen), "one's own tokens");
  expect((await page.getByRole("button", { name: /Silence/ }).count()) === 0, "a viewer silences nothing");
  expect((await page.getByRole("link", { name: "Add an alert" }).count()) === 0, "a viewer adds nothing");
  for (const path of ["user", "audit", "config"]) {
    await page.goto(`${url}#/${path}/index`);
    await says(page, /Only (an admin|users) of all systems/);
  }
  await page.goto(`${url}#/search?q=a`);
  await says(page, /msg\/reply|Alerts/);
  expect(!/far\/away/.test(await text(page)), "nothing of the other system is found");
}

export async function an_operator_silences_an_alert_and_ends_it(page) {
  await login(page, "#/alert/index", "oper");
  await page.getByRole("button", { name: "Silence" }).click();
  await page.locator("dialog[open] select").selectOption("4");
  await page.getByLabel(/Reason/).fill("deploy of the mail server");
  await page.keyboard.press("Enter");
  await until(async () => /oper: deploy of the mail server/.test(await text(page)), "who silenced it, and why");
  await page.getByRole("button", { name: "End the silence" }).click();
  await until(async () => !/deploy of the mail server/.test(await text(page)), "the silence has ended");
}

export async function an_admin_adds_a_user_by_keyboard_alone(page) {
  await page.goto(`${url}#/user/index`);
  await page.locator("#user").waitFor();
  await page.keyboard.type("admin");
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/user\/index/);
  await page.locator("tr[data-row=admin]").waitFor();
  const tabTo = async (match) => {
    for (let i = 0; i < 60; i++) {
      if (await page.evaluate((m) => new RegExp(m).test(document.activeElement?.innerText ?? ""), match)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not lead to ${match}`);
  };
  await tabTo("^Add a user$");
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.type("keyed");
  await page.keyboard.press("Enter");
  await says(page, /shown once/);
  const made = await page.innerText("dialog[open] pre");
  expect(/^[a-zA-Z2-9]{20}$/.test(made), "a password was made");
  await page.keyboard.press("Escape");
  await page.locator("tr[data-row=keyed]").waitFor();
  expect(!(await page.content()).includes(made), "the password is shown once");
  expect(await page.evaluate(() => /Add a user/.test(document.activeElement?.innerText)), "the focus is back");
  await page.keyboard.press("Escape");
  await page.locator("main").focus();
  await page.keyboard.press("j");
  expect((await page.evaluate(() => document.activeElement?.dataset.row)) === "admin", "j leads into the table");
  await page.keyboard.press("j");
  expect((await page.evaluate(() => document.activeElement?.dataset.row)) === "changed", "and to the next row");
}

export async function an_admin_changes_and_deletes_a_user(page) {
  await login(page, "#/user/index");
  const local = page.locator("tr[data-row=oper]");
  await local.waitFor();
  expect(await local.getByRole("button", { name: "Change" }).isDisabled(), "a user of a file is not changed here");
  await page.getByRole("button", { name: "Add a user" }).click();
  await page.locator("dialog[open]").getByLabel("User", { exact: true }).fill("goes");
  await page.locator("dialog[open]").getByLabel("Role").selectOption("viewer");
  await page.getByLabel("Some systems").check();
  await page.keyboard.press("Enter");
  await page.getByLabel("Names of systems").fill("live");
  await page.keyboard.press("Enter");
  await says(page, /shown once/);
  await page.keyboard.press("Escape");
  const row = page.locator("tr[data-row=goes]");
  await until(async () => /Viewer\s+live/.test(await row.innerText()), "role and system are there");
  await row.getByRole("button", { name: "Change" }).click();
  await page.locator("dialog[open]").getByLabel("Role").selectOption("operator");
  await page.getByRole("button", { name: "Save" }).click();
  await until(async () => /Operator/.test(await row.innerText()), "the role is another one");
  await row.getByRole("button", { name: "Delete" }).click();
  const button = page.locator("dialog[open]").getByRole("button", { name: "Delete" });
  expect(await button.isDisabled(), "the name has to be typed");
  await page.locator("dialog[open] input").fill("goes");
  await button.click();
  await row.waitFor({ state: "detached" });
}

export async function a_token_is_shown_once_and_ends(page) {
  await login(page, "#/token/index");
  await page.getByRole("button", { name: "Make a token" }).first().click();
  await page.getByLabel("What is it for?").fill("a deploy");
  await page.keyboard.press("Enter");
  await says(page, /Copy the token now/);
  const token = (await page.locator("dialog[open] pre").first().innerText()).trim();
  const status = () => fetch(`${url}api/v1/status`, { headers: { Authorization: `Bearer ${token}` } });
  expect((await status()).status === 200, "the token works");
  await page.getByRole("button", { name: "Close" }).last().click();
  const row = page.locator("tbody tr", { hasText: "a deploy" });
  await row.getByRole("button", { name: "End" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: "End" }).click();
  await row.waitFor({ state: "detached" });
  expect((await status()).status === 401, "the token has ended");
}

export async function the_audit_says_what_was_before_and_after(page) {
  await act(page, "/change");
  await login(page, "#/audit/index?user=a");
  const row = page.locator("tbody tr", { hasText: "changed a user" }).first();
  await row.waitFor();
  await row.getByRole("button").first().click();
  await until(async () => /viewer[\s\S]*operator/.test(await page.locator("tr.inner").innerText()), "both roles are shown");
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export as CSV" }).click();
  expect((await saved).suggestedFilename() === "audit.csv", "a file is saved");
}

export async function a_revision_is_read_compared_and_gone_back_to(page) {
  await act(page, "/shared");
  await login(page, "#/config/index");
  await says(page, /1 of 1 nodes run it/);
  await page.locator("tbody tr[data-row] a").nth(1).click();
  await page.waitForURL(/#\/config\/index\/\d+/);
  await says(page, /user novice/);
  await page.getByRole("button", { name: "Go back to this one" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Comment").fill("as it was");
  await until(async () => /removed: 1/.test(await dialog.innerText()), "what would change is told first");
  await dialog.getByRole("button", { name: "Go back to this one" }).click();
  await page.waitForURL(/#\/config\/index$/);
  await until(async () => /as it was/.test(await text(page)), "a new revision");
  await page.goto(`${url}#/config/index?tab=sections&kind=alert`);
  await until(async () => /\[alert waits\][\s\S]*a\.ini:\d+/.test(await text(page)), "a local section has its file and line");
  await page.goto(`${url}#/config/index?tab=files`);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "As INI" }).click();
  expect((await saved).suggestedFilename() === "pepperbus-shared.ini", "a file is saved");
}

export async function keys_and_the_palette_lead_anywhere(page) {
  await login(page, "#/token/index");
  await page.locator("nav#pages").waitFor();
  await page.locator("main").focus();
  await page.keyboard.press("?");
  await says(page, /Next row of a table/);
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  expect((await page.evaluate(() => document.activeElement?.id)) === "find", "/ leads to the search");
  await page.keyboard.type("far/aw");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/search\?q=far\/aw/);
  await until(async () => /far\/away/.test(await text(page)), "the topic is found");
  await page.keyboard.press("Control+k");
  await page.locator("dialog[open] input").waitFor();
  await page.keyboard.type("msg/rep");
  await until(async () => /msg\/reply/.test(await page.locator("dialog[open] [aria-selected=true]").innerText()), "the topic is the first choice");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/topic\/msg\/reply/);
}

export async function the_zone_is_chosen_and_stays(page) {
  await login(page, "#/audit/index");
  const first = page.locator("tbody time").first();
  await first.waitFor();
  expect(/GMT\+8/.test(await first.innerText()), "times are in the zone of the browser");
  await page.locator("header summary").click();
  await page.getByLabel("Times are shown in").selectOption("utc");
  await until(async () => /UTC/.test(await first.innerText()), "times are in UTC");
  await page.reload();
  await first.waitFor();
  expect(/UTC/.test(await first.innerText()), "the choice stays");
}

export async function a_phone_has_all_of_it(page) {
  await login(page, "#/alert/index");
  await says(page, /waits/);
  for (const path of ["alert/index", "user/index", "token/index", "audit/index", "config/index", "config/index?tab=sections", "config/index?tab=files", "search?q=msg"]) {
    await page.goto(`${url}#/${path}`);
    await page.locator("h1").waitFor();
    await page.waitForLoadState("networkidle");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(wide <= 0, `${path} is ${wide} px wider than the screen`);
  }
  await page.getByRole("button", { name: "Menu" }).click();
  await page.locator("nav#pages a", { hasText: "Topics" }).click();
  await page.waitForURL(/#\/topic\/index/);
  expect(/Production/.test(await page.innerText("header")), "the environment is named");
}
a_phone_has_all_of_it.width = 390;

export async function a_storage_that_is_away_is_told(page) {
  await login(page, "#/token/index");
  await page.locator("nav#pages").waitFor();
  await act(page, "/away");
  await until(async () => /you can look, and change nothing/.test(await page.innerText(".banners")), "the page says so", 60000);
  await act(page, "/back");
  await until(async () => !/change nothing/.test(await page.innerText(".banners")), "it goes by itself", 60000);
}
