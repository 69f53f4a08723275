// node_redis.js HOST PORT: found by NODE_PATH.
const { createClient } = require("redis");
const [host, port] = process.argv.slice(2);
const dial = (password) => {
  const c = createClient({ socket: { host, port: +port, reconnectStrategy: false }, password, name: "node" });
  c.on("error", () => {});
  return c;
};
(async () => {
  const said = [];
  const r = dial("q:pw");
  await r.connect();
  said.push((await r.ping()) === "PONG" ? "ping" : "no ping");
  const reply = JSON.parse(await r.lPush("q/t", ["a", "b"]));
  said.push(reply.jobs.length === 2 ? "push" : JSON.stringify(reply));
  const all = await Promise.all([...Array(100).keys()].map((i) => r.lPush("q", "job " + i)));
  said.push(new Set(all.map((x) => JSON.parse(x).jobs[0])).size === 100 ? "pipeline" : "bad pipeline");
  said.push(await r.sendCommand(["NOSUCH"]).then(() => "no error", (e) => (/unknown command/.test(e.message) ? "error" : e.message)));
  said.push(/redis_version/.test(await r.info()) ? "info" : "no info");
  said.push((await r.clientGetName()) === "node" ? "name" : "no name");
  await r.quit();
  said.push(await dial("q:no").connect().then(() => "let in", () => "refused"));
  console.log(said.join(" "));
  process.exit(0);
})().catch((e) => { console.log("failed:", e.message); process.exit(1); });
